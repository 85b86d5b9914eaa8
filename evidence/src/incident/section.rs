//! Taking fields out of one object of the drop, with the checks each kind of field needs.
//!
//! Written by hand rather than derived, because serde's messages quote values, and a reason file
//! must not.

use serde_json::{Map, Number, Value};

use super::{MAX_NAME_CHARS, Refusal, WrittenTime};

/// An object being taken apart: what has been taken is no longer in it.
pub(super) struct Section {
    fields: Map<String, Value>,
    /// JSON pointer of the object; made of known names and numbers only.
    path: String,
}

impl Section {
    pub(super) const fn root(fields: Map<String, Value>) -> Self {
        Self {
            fields,
            path: String::new(),
        }
    }

    /// What nobody took.
    pub(super) fn into_rest(self) -> Map<String, Value> {
        self.fields
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    fn refuse<T>(
        &self,
        code: &'static str,
        name: &str,
        message: impl Into<std::borrow::Cow<'static, str>>,
    ) -> Result<T, Refusal> {
        Err(Refusal::new(code, self.at(name), message))
    }

    fn wrong_type<T>(&self, name: &str, value: &Value, expected: &str) -> Result<T, Refusal> {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        self.refuse(
            "wrong_type",
            name,
            format!("must be {expected}, not {found}"),
        )
    }

    /// A required field of any type.
    pub(super) fn take(&mut self, name: &str) -> Result<Value, Refusal> {
        match self.fields.remove(name) {
            Some(value) => Ok(value),
            None => self.refuse("missing_field", name, "a required field is missing"),
        }
    }

    /// A required object.
    pub(super) fn section(&mut self, name: &str) -> Result<Self, Refusal> {
        match self.take(name)? {
            Value::Object(fields) => Ok(Self {
                fields,
                path: self.at(name),
            }),
            other => self.wrong_type(name, &other, "an object"),
        }
    }

    /// An object that may be left out.
    pub(super) fn optional_section(&mut self, name: &str) -> Result<Option<Self>, Refusal> {
        if self.has(name) {
            self.section(name).map(Some)
        } else {
            Ok(None)
        }
    }

    /// An object that may be left out and is then empty; its members are anybody's.
    pub(super) fn map_or_empty(&mut self, name: &str) -> Result<Map<String, Value>, Refusal> {
        Ok(self
            .optional_section(name)?
            .map(Self::into_rest)
            .unwrap_or_default())
    }

    /// A required array of objects.
    pub(super) fn sections(&mut self, name: &str) -> Result<Vec<Self>, Refusal> {
        let elements = match self.take(name)? {
            Value::Array(elements) => elements,
            other => return self.wrong_type(name, &other, "an array"),
        };
        let path = self.at(name);
        elements
            .into_iter()
            .enumerate()
            .map(|(index, element)| match element {
                Value::Object(fields) => Ok(Self {
                    fields,
                    path: format!("{path}/{index}"),
                }),
                other => self.wrong_type(&format!("{name}/{index}"), &other, "an object"),
            })
            .collect()
    }

    /// An array of strings that may be left out and is then empty.
    pub(super) fn texts_or_empty(&mut self, name: &str) -> Result<Vec<String>, Refusal> {
        let elements = match self.fields.remove(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(elements)) => elements,
            Some(other) => return self.wrong_type(name, &other, "an array"),
        };
        elements
            .into_iter()
            .enumerate()
            .map(|(index, element)| match element {
                Value::String(text) => Ok(text),
                other => self.wrong_type(&format!("{name}/{index}"), &other, "a string"),
            })
            .collect()
    }

    /// A required string of any content.
    pub(super) fn text(&mut self, name: &str) -> Result<String, Refusal> {
        match self.take(name)? {
            Value::String(text) => Ok(text),
            other => self.wrong_type(name, &other, "a string"),
        }
    }

    /// A required id or short name: not empty, at most [`MAX_NAME_CHARS`], no control characters.
    pub(super) fn name(&mut self, name: &str) -> Result<String, Refusal> {
        let text = self.text(name)?;
        if text.is_empty() {
            return self.refuse("bad_name", name, "must not be empty");
        }
        if text.chars().count() > MAX_NAME_CHARS {
            return self.refuse(
                "bad_name",
                name,
                format!("must not have more than {MAX_NAME_CHARS} characters"),
            );
        }
        if text.chars().any(char::is_control) {
            return self.refuse("bad_name", name, "must not hold control characters");
        }
        Ok(text)
    }

    /// A string that may be left out. A null is left where it is, among the unknown fields: it
    /// says nothing, but it was written.
    pub(super) fn optional_text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.text(name).map(Some),
        }
    }

    /// A required time.
    pub(super) fn time(&mut self, name: &str) -> Result<WrittenTime, Refusal> {
        let text = self.text(name)?;
        text.try_into()
            .or_else(|e: super::NotATime| self.refuse("bad_timestamp", name, e.to_string()))
    }

    /// A required true or false.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Refusal> {
        match self.take(name)? {
            Value::Bool(flag) => Ok(flag),
            other => self.wrong_type(name, &other, "true or false"),
        }
    }

    /// A true or false that may be left out; null as in [`Section::optional_text`].
    pub(super) fn optional_flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.flag(name).map(Some),
        }
    }

    fn number(&mut self, name: &str) -> Result<Number, Refusal> {
        match self.take(name)? {
            Value::Number(number) => Ok(number),
            // Also a number that the reader kept as text.
            other => self.wrong_type(
                name,
                &other,
                "a number that a double holds exactly as written",
            ),
        }
    }

    /// A required number of seconds, not negative; kept as it was.
    pub(super) fn seconds(&mut self, name: &str) -> Result<Number, Refusal> {
        let number = self.number(name)?;
        if number.as_f64().is_some_and(|n| n >= 0.0) {
            Ok(number)
        } else {
            self.refuse("bad_number", name, "must not be negative")
        }
    }

    /// A required count: whole and not negative. `4.0` is four, as in JSON Schema.
    pub(super) fn count(&mut self, name: &str) -> Result<u64, Refusal> {
        let number = self.number(name)?;
        match whole(&number).and_then(|n| u64::try_from(n).ok()) {
            Some(count) => Ok(count),
            None => self.refuse(
                "bad_number",
                name,
                "must be a whole number, not negative, below 2^53",
            ),
        }
    }

    /// A required whole number or null.
    pub(super) fn whole_or_null(&mut self, name: &str) -> Result<Option<i64>, Refusal> {
        if self.fields.get(name) == Some(&Value::Null) {
            self.fields.remove(name);
            return Ok(None);
        }
        let number = self.number(name)?;
        match whole(&number) {
            Some(whole) => Ok(Some(whole)),
            None => self.refuse(
                "bad_number",
                name,
                "must be a whole number within ±2^53, or null",
            ),
        }
    }
}

/// The whole number that `number` is, if it lies in the range that every JSON reader holds
/// exactly.
fn whole(number: &Number) -> Option<i64> {
    const MAX: f64 = 9_007_199_254_740_991.0;
    let value = number.as_f64()?;
    // The cast is exact: whole and within ±(2^53 − 1).
    (value.fract() == 0.0 && value.abs() <= MAX).then_some(value as i64)
}
