//! The words of QMP: greeting, commands, answers, events.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

/// What a command gives.
pub type Answer = Result<Value, Failure>;

/// Why a command was not done.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    class: &'static str,
    desc: String,
}

impl Failure {
    /// For whatever has no class of its own.
    pub fn generic(desc: impl Into<String>) -> Failure {
        Failure {
            class: "GenericError",
            desc: desc.into(),
        }
    }

    /// No such command, or not now.
    pub fn no_command(desc: impl Into<String>) -> Failure {
        Failure {
            class: "CommandNotFound",
            desc: desc.into(),
        }
    }

    /// No such plugin.
    pub fn no_plugin(id: u64) -> Failure {
        Failure {
            class: "DeviceNotFound",
            desc: format!("there is no plugin {id}"),
        }
    }
}

/// Something has happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its name.
    pub name: &'static str,
    /// More about it.
    pub data: Option<Value>,
}

impl Event {
    /// An event of which the name says it all.
    pub fn plain(name: &'static str) -> Event {
        Event { name, data: None }
    }

    /// An event with data.
    pub fn with(name: &'static str, data: Value) -> Event {
        Event {
            name,
            data: Some(data),
        }
    }

    /// As it is sent, with the time of now.
    pub fn to_value(&self) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        let mut value = json!({
            "timestamp": { "seconds": now.as_secs(), "microseconds": now.subsec_micros() },
            "event": self.name,
        });
        if let Some(data) = &self.data {
            value["data"] = data.clone();
        }
        value
    }
}

/// A command as it came in.
#[derive(Debug, PartialEq)]
pub struct Command {
    /// Its name.
    pub name: String,
    /// By name.
    pub arguments: Map<String, Value>,
}

/// Understands an object, and finds the id that the answer is to carry, whatever else is wrong.
pub fn parse(message: &[u8]) -> (Option<Value>, Result<Command, Failure>) {
    let mut object: Map<String, Value> = match serde_json::from_slice(message) {
        Ok(object) => object,
        Err(error) => {
            let why = format!("JSON parse error: {error}");
            return (None, Err(Failure::generic(why)));
        }
    };
    let id = object.remove("id");
    (id, command(object))
}

fn command(mut object: Map<String, Value>) -> Result<Command, Failure> {
    let name = match object.remove("execute") {
        Some(Value::String(name)) => name,
        Some(_) => return Err(Failure::generic("'execute' must be a string")),
        None => return Err(Failure::generic("'execute' is missing")),
    };
    let arguments = match object.remove("arguments") {
        Some(Value::Object(arguments)) => arguments,
        Some(_) => return Err(Failure::generic("'arguments' must be an object")),
        None => Map::new(),
    };
    match object.keys().next() {
        Some(extra) => Err(Failure::generic(format!("'{extra}' is unexpected"))),
        None => Ok(Command { name, arguments }),
    }
}

/// An answer as it is sent.
pub fn answer(id: Option<Value>, answer: Answer) -> Value {
    let mut value = match answer {
        Ok(value) => json!({ "return": value }),
        Err(Failure { class, desc }) => json!({ "error": { "class": class, "desc": desc } }),
    };
    if let Some(id) = id {
        value["id"] = id;
    }
    value
}

/// The version, in QMP's words.
pub fn version() -> Value {
    let number = |text: &str| text.parse().unwrap_or(0_u32);
    json!({
        "qemu": {
            "major": number(env!("CARGO_PKG_VERSION_MAJOR")),
            "minor": number(env!("CARGO_PKG_VERSION_MINOR")),
            "micro": number(env!("CARGO_PKG_VERSION_PATCH")),
        },
        "package": concat!("hartscope-", env!("CARGO_PKG_VERSION")),
    })
}

/// What a client is told first.
pub fn greeting() -> Value {
    json!({ "QMP": { "version": version(), "capabilities": [] } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(message: &str) -> Value {
        let (id, command) = parse(message.as_bytes());
        answer(id, command.map(|command| json!(command.name)))
    }

    #[test]
    fn an_answer_carries_the_id_of_its_command() {
        assert_eq!(
            answered(r#"{"execute": "x", "id": [1]}"#),
            json!({ "return": "x", "id": [1] })
        );
        let wrong = answered(r#"{"id": "a", "exec": "x"}"#);
        assert_eq!(wrong["id"], "a");
        assert_eq!(wrong["error"]["class"], "GenericError");
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for wrong in [
            "{}",
            "{x}",
            r#"{"execute": 1}"#,
            r#"{"execute": "x", "arguments": []}"#,
            r#"{"execute": "x", "control": {}}"#,
        ] {
            assert_eq!(answered(wrong)["error"]["class"], "GenericError", "{wrong}");
        }
    }
}
