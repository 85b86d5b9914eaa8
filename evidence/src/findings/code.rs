//! The codes of findings. They are stable: auditors search for them.

macro_rules! codes {
    ($($name:ident = $code:literal, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $name: &str = $code;)*

        /// Every code, and what it means.
        pub const ALL: &[(&str, &str)] = &[$(($code, $meaning)),*];
    };
}

codes! {
    NUMBER_AS_TEXT = "number_as_text", "A number was kept as text, because no double holds it as written.";
    NONCHARACTER = "noncharacter", "A string or a name holds a Unicode noncharacter.";
    HEADER_FIELD_IN_DROP = "header_field_in_drop", "The drop had a field that only the agent writes; it is kept under `extra`.";
    INCIDENT_ID_REUSED = "incident_id_reused", "The incident's id was sealed before, with other content.";
    UNKNOWN_VALUE = "unknown_value", "A severity, result or resolution that this version does not know.";
    MTTR_MISMATCH = "mttr_mismatch", "The time to repair does not follow from the times.";
    SLA_MISMATCH = "sla_mismatch", "`sla_met` does not follow from the time to repair and the target.";
    STEPS_EXCEED_TOTAL = "steps_exceed_total", "More steps were executed than the runbook has.";
    STEPS_MISMATCH = "steps_mismatch", "The number of steps executed is not that of the actions listed.";
    STEP_NUMBERING = "step_numbering", "The steps are not numbered 1, 2, 3 ….";
    TIME_ORDER = "time_order", "Times are not in the order detected, started, acted, ended.";
    TIME_IN_FUTURE = "time_in_future", "A time lies in the future.";
    EXIT_CODE_MISMATCH = "exit_code_mismatch", "An exit code contradicts the result of its step.";
    ZERO_HASH = "zero_hash", "A digest is all zeros: a placeholder.";
    MALFORMED_HASH = "malformed_hash", "A digest is not of the form it should have.";
    DRY_RUN_SUCCESS = "dry_run_success", "A dry run claims success, or success in part.";
    SUCCESS_WITHOUT_STEPS = "success_without_steps", "Success is claimed, but no step was executed.";
    UNKNOWN_CITATION = "unknown_citation", "Not a citation of the Security Rule that this version knows.";
    RUNBOOK_CHANGED = "runbook_changed", "This host sealed another hash before for the same runbook id and version.";
    SEALED_LATE = "sealed_late", "It was sealed long after the treatment ended.";
    BACKFILLED = "backfilled", "It was sealed so long after the treatment ended that it counts as filled in afterwards.";
    CLOCK_NOT_SYNCHRONISED = "clock_not_synchronised", "When it was sealed, the host's clock was said not to be synchronised, or was far from the store's.";
    MISAPPLIED_CONTROL = "misapplied_control", "A citation of the Security Rule that is not about such an event; the message says why.";
}

/// What a code means; nothing of one that a later version has.
#[must_use]
pub fn meaning(code: &str) -> &'static str {
    ALL.iter()
        .find(|(known, _)| *known == code)
        .map_or("", |(_, meaning)| meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_there_once_and_explained_in_the_description_of_the_format() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/format.md");
        let page = std::fs::read_to_string(page).unwrap();
        for (n, (code, text)) in ALL.iter().enumerate() {
            assert_eq!(meaning(code), *text);
            assert!(ALL.iter().skip(n + 1).all(|(other, _)| other != code));
            let line = format!("| `{code}` | {text} |");
            assert!(page.contains(&line), "docs/format.md lacks {line}");
        }
        assert_eq!(meaning("fine"), "");
    }
}
