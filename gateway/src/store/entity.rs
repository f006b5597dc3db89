//! Rows as the database holds them. Nothing outside the store sees these.
#![expect(unreachable_pub, reason = "the derive wants public items")]
#![expect(clippy::struct_field_names, reason = "a model of an AI is not the derive's Model")]

pub mod credential {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "credential")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub provider: String,
        pub subject: String,
        pub label: Option<String>,
        pub sealed: Vec<u8>,
        pub seal_id: String,
        pub token_hash: String,
        pub expires_at: Option<i64>,
        pub state: String,
        pub reason_code: Option<String>,
        pub reason_text: Option<String>,
        pub reason_link: Option<String>,
        pub revision: i64,
        pub refresh_intent_at: Option<i64>,
        pub refresh_intent_by: Option<String>,
        pub origin: String,
        pub trusted: bool,
        pub priority: i32,
        pub max_concurrency: Option<i32>,
        pub created_at: i64,
        pub updated_at: i64,
        pub weight: i32,
        pub proxy: Option<Vec<u8>>,
        pub named: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub mod cooldown {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "cooldown")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub credential_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub model: String,
        pub until: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub mod reading {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "reading")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub credential_id: i64,
        pub quota: String,
        pub read_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub mod login {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "login")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id_hash: String,
        pub provider: String,
        pub sealed: Vec<u8>,
        pub redirect_uri: String,
        pub home: String,
        pub origin: String,
        pub trusted: bool,
        pub expires_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub mod spent_token {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "spent_token")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub provider: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub token_hash: String,
        pub heir: String,
        pub spent_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub mod vault {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "vault")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub sealed: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub mod usage_request {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "usage_request")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub request_id: String,
        pub at: i64,
        pub key_id: String,
        pub provider: String,
        pub account_id: Option<i64>,
        pub model: Option<String>,
        pub dialect: String,
        pub status: Option<i64>,
        pub verdict: String,
        pub outcome: String,
        pub attempts: i64,
        pub first_byte_ms: Option<i64>,
        pub duration_ms: i64,
        pub input: Option<i64>,
        pub cache_read: Option<i64>,
        pub cache_write: Option<i64>,
        pub output: Option<i64>,
        pub reasoning: Option<i64>,
        pub cost_nanos: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub mod usage_mark {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "usage_mark")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub value: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub mod source_file {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "source_file")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub path: String,
        pub provider: String,
        pub digest: String,
        pub credential_id: Option<i64>,
        pub former_id: Option<i64>,
        pub replaces: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
