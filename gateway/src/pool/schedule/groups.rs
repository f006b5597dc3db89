use std::collections::HashMap;

/// Which models rest together, because the vendor counts them together. A model that is in no group rests alone.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    groups: Vec<Vec<Box<str>>>,
    /// The group of each model that is in one.
    of: HashMap<Box<str>, usize>,
}

impl Groups {
    /// Groups of models. A model that stands in several belongs to the first of them.
    pub fn new<'a>(groups: impl IntoIterator<Item = &'a [String]>) -> Self {
        let mut all = Self::default();
        for models in groups {
            let at = all.groups.len();
            let mut members: Vec<Box<str>> = Vec::with_capacity(models.len());
            for model in models {
                if !all.of.contains_key(model.as_str()) {
                    all.of.insert(model.as_str().into(), at);
                    members.push(model.as_str().into());
                }
            }
            all.groups.push(members);
        }
        all
    }

    /// The model under whose name this one's cooldowns stand: the first of its group, or itself.
    pub fn lead<'a>(&'a self, model: &'a str) -> &'a str {
        self.members(model).next().unwrap_or(model)
    }

    /// The models of this one's group, itself included; none where it is in no group.
    pub fn members(&self, model: &str) -> impl Iterator<Item = &str> {
        let group = self.of.get(model).and_then(|at| self.groups.get(*at));
        group.into_iter().flatten().map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(groups: &[&[&str]]) -> Groups {
        let owned: Vec<Vec<String>> =
            groups.iter().map(|models| models.iter().map(|model| (*model).to_owned()).collect()).collect();
        Groups::new(owned.iter().map(Vec::as_slice))
    }

    #[test]
    fn a_group_has_the_name_of_its_first_model() {
        let groups = groups(&[&["a", "b"], &["c"], &["b", "d"]]);
        for (model, lead) in [("a", "a"), ("b", "a"), ("c", "c"), ("d", "d"), ("e", "e"), ("", "")] {
            assert_eq!(groups.lead(model), lead, "{model}");
        }
        assert_eq!(groups.members("b").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(groups.members("e").count(), 0);
    }
}
