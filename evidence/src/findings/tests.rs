use super::*;

#[test]
fn only_a_hundred_findings_of_a_code_are_listed_and_the_rest_counted() {
    let mut findings = Findings::default();
    for i in 0..250 {
        findings.add(code::ZERO_HASH, format!("/{i}"), "zeros");
    }
    findings.add(code::TIME_ORDER, "/t", "order");
    findings.add_unlisted(code::ZERO_HASH, 7);
    findings.add_unlisted(code::NONCHARACTER, 0);
    let all = findings.into_vec();
    assert_eq!(all.len(), MAX_PER_CODE + 2);
    let last = all.last().unwrap();
    assert_eq!(
        (last.code.as_ref(), last.message.as_ref()),
        (code::ZERO_HASH, "and 157 more like these")
    );
}
