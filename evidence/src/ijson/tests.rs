use serde_json::{Value, json};

use super::{Code, MAX_DEPTH, MAX_PLACES, Parsed, read};

fn good(text: &str) -> Parsed {
    read(text.as_bytes(), 32).unwrap_or_else(|e| panic!("{text}: {e:?}"))
}

#[track_caller]
fn refused(bytes: &[u8], code: Code, path: &str) {
    let error = read(bytes, 32).expect_err(&String::from_utf8_lossy(bytes));
    assert_eq!(
        (error.code, error.path.as_str()),
        (code, path),
        "{bytes:?}: {}",
        error.message
    );
}

#[test]
fn a_plain_document_reads_as_serde_json_reads_it() {
    for text in [
        "null",
        " true ",
        "\"\"",
        "0",
        "-1.5",
        "[]",
        "{}",
        "[1,[2,{\"a\":null}],\"x\\n\\u00e9\\ud83d\\ude00\"]",
        "{\"\":{\"a\":[{},[]]},\"b\":[1e2,0.1,-0.0,5e-324]}",
        "\"\u{FEFF}\"",
    ] {
        let parsed = good(text);
        assert_eq!(
            parsed.value,
            serde_json::from_str::<Value>(text).unwrap(),
            "{text}"
        );
        assert_eq!(
            (parsed.number_as_text.total, parsed.noncharacter.total),
            (0, 0),
            "{text}"
        );
    }
}

/// Serialises random values in a random layout; the reader must agree with serde_json on each.
#[test]
fn random_documents_read_as_serde_json_reads_them() {
    fn write(rng: &mut fastrand::Rng, depth: usize, out: &mut String) {
        let space = |rng: &mut fastrand::Rng| ["", "", " ", "\n\t"][rng.usize(..4)];
        out.push_str(space(rng));
        match rng.usize(..if depth == 0 { 6 } else { 8 }) {
            0 => out.push_str("null"),
            1 => out.push_str("false"),
            2 => out.push_str(&rng.i32(..).to_string()),
            3 => out.push_str(&serde_json::to_string(&(rng.f64() * 1e9)).unwrap()),
            4 => out.push_str(&format!("{:e}", f64::from(rng.i32(..)) / 1024.0)),
            5 => text(rng, out),
            6 => {
                out.push('[');
                for i in 0..rng.usize(..5) {
                    out.push_str(if i == 0 { "" } else { "," });
                    write(rng, depth - 1, out);
                }
                out.push(']');
            }
            _ => {
                out.push('{');
                for i in 0..rng.usize(..5) {
                    out.push_str(if i == 0 { "" } else { "," });
                    out.push_str(&format!("\"{i}\":"));
                    write(rng, depth - 1, out);
                }
                out.push('}');
            }
        }
        out.push_str(space(rng));
    }
    fn text(rng: &mut fastrand::Rng, out: &mut String) {
        out.push('"');
        for _ in 0..rng.usize(..8) {
            out.push_str(
                [
                    "a",
                    "\\\"",
                    "\\\\",
                    "\\u0031",
                    "é",
                    "語",
                    "\\ud83d\\ude00",
                    "1e400",
                    "{",
                    "😀",
                ][rng.usize(..10)],
            );
        }
        out.push('"');
    }
    for seed in 0..2_000 {
        let mut document = String::new();
        write(&mut fastrand::Rng::with_seed(seed), 5, &mut document);
        let parsed = read(document.as_bytes(), 32).unwrap_or_else(|e| panic!("seed {seed}: {e:?}"));
        assert_eq!(
            parsed.value,
            serde_json::from_str::<Value>(&document).unwrap(),
            "seed {seed}"
        );
        assert_eq!(parsed.number_as_text.total, 0, "seed {seed}");
    }
}

/// Whatever the reader takes, serde_json takes; and nothing panics.
#[test]
fn damaged_documents_are_never_read_when_serde_json_refuses_them() {
    let original = br#"{"a":[1e400,-0.5,"\ud83d\ude00\\",{"b":9007199254740993}],"c":true}"#;
    let mut read_well = 0;
    for seed in 0..20_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bytes = original.to_vec();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..bytes.len());
            match rng.usize(..3) {
                0 => bytes[at] = b"0123456789eE+-.\"\\,:[]{} ntu"[rng.usize(..27)],
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"0123456789eE+-.\"\\,:[]{} ntu"[rng.usize(..27)]),
            }
        }
        if read(&bytes, 32).is_ok() {
            read_well += 1;
            // RawValue checks the grammar but not the range of numbers.
            let oracle = serde_json::from_slice::<Box<serde_json::value::RawValue>>(&bytes);
            assert!(
                oracle.is_ok(),
                "seed {seed}: {}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }
    assert!(
        read_well > 500,
        "only {read_well} damaged documents were still JSON"
    );
}

#[test]
fn a_number_no_double_gives_back_is_kept_as_text_and_its_place_reported() {
    let parsed = good(
        r#"{"a":9007199254740993,"b":[1,1e400,{"c/d":0.1000000000000000055511}],"e":1.50,"f":-1E-400 ,"g":9007199254740991}"#,
    );
    assert_eq!(
        parsed.value,
        json!({"a":"9007199254740993","b":[1,"1e400",{"c/d":"0.1000000000000000055511"}],"e":1.5,"f":"-1E-400",
               "g":9_007_199_254_740_991_u64})
    );
    assert_eq!(
        parsed.number_as_text.pointers,
        ["/a", "/b/1", "/b/2/c~1d", "/f"]
    );
    assert_eq!(parsed.number_as_text.total, 4);
    assert_eq!(good("1e400").number_as_text.pointers, [""]);
}

#[test]
fn only_the_first_hundred_places_are_listed_and_all_are_counted() {
    let parsed = good(&format!("[{}1e400]", "1e400,".repeat(999)));
    assert_eq!(parsed.number_as_text.pointers.len(), MAX_PLACES);
    assert_eq!(parsed.number_as_text.total, 1_000);
    assert_eq!(parsed.value[999], json!("1e400"));
}

#[test]
fn keeping_numbers_as_text_makes_no_document_valid_that_was_not() {
    refused(b"{1e400:1}", Code::Syntax, "");
    refused(b"[1e400x]", Code::Syntax, "/1");
    refused(b"[1e400 2]", Code::Syntax, "/1");
    refused(b"[\"a\"1e400]", Code::Syntax, "/1");
    refused(b"[tru1e400]", Code::Syntax, "/0");
    refused(b"[01e400]", Code::Syntax, "/0");
    refused(b"[--1e400]", Code::Syntax, "/0");
    refused(b"1e400 1e400", Code::TrailingBytes, "");
}

#[test]
fn negative_zero_stays_negative_zero() {
    let parsed = good("[-0,-0.0]");
    assert!(
        parsed
            .value
            .as_array()
            .unwrap()
            .iter()
            .all(|n| n.as_f64().unwrap().is_sign_negative())
    );
    assert_eq!(parsed.number_as_text.total, 0);
}

#[test]
fn duplicate_names_are_refused_at_any_depth_and_in_any_spelling() {
    refused(br#"{"a":1,"a":1}"#, Code::DuplicateKey, "/a");
    refused(
        br#"[0,{"x":[{"a":1,"b":2,"\u0061":3}]}]"#,
        Code::DuplicateKey,
        "/1/x/0/a",
    );
    assert_eq!(
        good(r#"{"a":{"a":1},"A":2}"#).value,
        json!({"a":{"a":1},"A":2})
    );
}

#[test]
fn lone_surrogates_are_refused_in_values_and_names() {
    refused(br#"{"a":"\ud800"}"#, Code::LoneSurrogate, "/a");
    refused(br#"{"a":"\udc00\ud800"}"#, Code::LoneSurrogate, "/a");
    refused(br#"{"a":["\ud800x"]}"#, Code::LoneSurrogate, "/a/0");
    refused(br#"{"a":"\ud800\n"}"#, Code::LoneSurrogate, "/a");
    refused(br#"{"a":"\ud800\ud800"}"#, Code::LoneSurrogate, "/a");
    refused(br#"{"a":"\ud800\u0041"}"#, Code::LoneSurrogate, "/a");
    refused(br#"{"\udfff":1}"#, Code::LoneSurrogate, "");
}

#[test]
fn numbers_that_are_none_are_refused() {
    refused(br#"{"a":NaN}"#, Code::NotFinite, "/a");
    refused(br#"{"a":[1, Infinity]}"#, Code::NotFinite, "/a/1");
    refused(
        b"{\"b\":\"NaN\",\n\"a\":\n -Infinity}",
        Code::NotFinite,
        "/a",
    );
    refused(br#"{"a":nan}"#, Code::Syntax, "/a");
    assert_eq!(good(r#""NaN""#).value, json!("NaN"));
}

#[test]
fn what_is_not_utf_8_or_starts_with_a_mark_is_refused() {
    refused(b"{\"a\":\"\xff\"}", Code::NotUtf8, "");
    refused(b"\"\xed\xa0\x80\"", Code::NotUtf8, "");
    refused(b"\xEF\xBB\xBF{}", Code::ByteOrderMark, "");
    refused(b"\xFF\xFE{\0}\0", Code::NotUtf8, "");
}

#[test]
fn broken_grammar_is_refused() {
    for text in [
        "{a:1}",
        "{'a':1}",
        "[1,]",
        "{\"a\":1,}",
        "[1 2]",
        "+1",
        ".5",
        "1.",
        "01",
        "0x1",
        "\"\t\"",
        "\"\\x\"",
        "tru",
        "//x\n1",
    ] {
        let error = read(text.as_bytes(), 32).expect_err(text);
        assert!(
            matches!(
                error.code,
                Code::Syntax | Code::Truncated | Code::TrailingBytes
            ),
            "{text}: {error:?}"
        );
    }
    for text in ["", " ", "{", "[1,", "{\"a\":", "\"abc", "\"\\ud800", "-"] {
        assert_eq!(
            read(text.as_bytes(), 32).expect_err(text).code,
            Code::Truncated,
            "{text}"
        );
    }
    refused(b"{} {}", Code::TrailingBytes, "");
    refused(b"{}\0", Code::TrailingBytes, "");
}

#[test]
fn nesting_is_limited_without_overflowing_the_stack() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(nested(8).as_bytes(), 8).is_ok());
    assert_eq!(
        read(nested(9).as_bytes(), 8).unwrap_err().code,
        Code::TooDeep
    );
    assert!(read(nested(MAX_DEPTH).as_bytes(), usize::MAX).is_ok());
    for bomb in ["[".repeat(5_000_000), "{\"a\":".repeat(1_000_000)] {
        assert_eq!(
            read(bomb.as_bytes(), usize::MAX).unwrap_err().code,
            Code::TooDeep
        );
    }
    assert!(read(b"1", 0).is_ok());
    assert_eq!(read(b"{}", 0).unwrap_err().code, Code::TooDeep);
}

#[test]
fn noncharacters_are_kept_and_reported() {
    let parsed = good(
        "{\"a\":[\"x\u{FFFE}\",\"\\ufdd0\",\"\u{10FFFF}\",\"\u{FFFD}\u{FEFF}\"],\"b\u{FFFF}\":1}",
    );
    assert_eq!(
        parsed.noncharacter.pointers,
        ["/a/0", "/a/1", "/a/2", "/b\u{FFFF}"]
    );
    assert_eq!(parsed.value["a"][0], "x\u{FFFE}");
}

#[test]
fn an_error_quotes_no_content() {
    let secret = "hunter2";
    for text in [
        format!("{{\"password\":\"{secret}\" x}}"),
        format!("{{\"password\":\"{secret}\\ud800\"}}"),
        format!("{{\"password\":{secret}}}"),
        format!("[\"{secret}\",\"{secret}"),
        format!("{{\"a\":\"{secret}\"}} {secret}"),
    ] {
        let error = read(text.as_bytes(), 32).expect_err(&text);
        assert!(!format!("{error:?} {error}").contains(secret), "{error:?}");
    }
}

#[test]
fn an_error_says_where_it_is_and_by_which_code() {
    let error = read(b"{\n\"a\": x}", 32).unwrap_err();
    assert!(error.message.contains("line 2 column 6"), "{error}");
    let error = read(b"{\n\"a\":1,\"a\":2}", 32).unwrap_err();
    assert!(error.message.contains("at line 2 column "), "{error}");
    for code in Code::ALL {
        assert_eq!(code.to_string(), code.as_str());
        assert!(!code.as_str().contains(char::is_whitespace) && !code.as_str().is_empty());
    }
}
