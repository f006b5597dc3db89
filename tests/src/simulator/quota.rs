//! Allowances that run out.

/// So many answers, then a refusal.
#[derive(Clone, Debug)]
pub(crate) struct Quota<R> {
    pub(crate) model: Option<String>,
    pub(crate) left: usize,
    pub(crate) refusal: R,
}

/// Takes one answer from every allowance that covers the model, or names the refusal of an empty one.
pub(crate) fn spend<R: Clone>(quotas: &mut [Quota<R>], model: &str) -> Result<(), R> {
    let covers = |quota: &Quota<R>| quota.model.as_deref().is_none_or(|covered| covered == model);
    if let Some(empty) = quotas.iter().find(|quota| covers(quota) && quota.left == 0) {
        return Err(empty.refusal.clone());
    }
    for quota in quotas.iter_mut().filter(|quota| covers(quota)) {
        quota.left -= 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_is_used_up_leaves_the_others_alone() {
        let mut quotas = vec![
            Quota { model: Some("a".into()), left: 1, refusal: "a is empty" },
            Quota { model: None, left: 3, refusal: "all is empty" },
        ];
        assert_eq!(spend(&mut quotas, "a"), Ok(()));
        assert_eq!(spend(&mut quotas, "a"), Err("a is empty"));
        assert_eq!(spend(&mut quotas, "b"), Ok(()));
        assert_eq!(spend(&mut quotas, "b"), Ok(()));
        assert_eq!(spend(&mut quotas, "b"), Err("all is empty"));
    }
}
