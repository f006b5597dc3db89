//! The steps that build the database, oldest first.
//!
//! A step names its tables and columns itself and never imports an entity: what a database went through years
//! ago must not change when an entity does. Steps are added, never edited, and run alike on SQLite and PostgreSQL.

mod m0001_accounts;
mod m0002_readings;
mod m0003_limits;
mod m0004_files;
mod m0005_usage;

pub use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// Runs the steps a database still lacks.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_accounts::Step),
            Box::new(m0002_readings::Step),
            Box::new(m0003_limits::Step),
            Box::new(m0004_files::Step),
            Box::new(m0005_usage::Step),
        ]
    }
}
