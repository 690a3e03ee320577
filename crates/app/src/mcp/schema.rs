//! Schemas that cost the reader little: what a model does not need is taken out before they are sent.
//!
//! Every client puts the whole tool list into the model's context, so each byte is paid for on every turn. Kept: names,
//! types, what is required, limits, and the descriptions of inputs. Taken out: `$schema`, titles, number formats (clients
//! warn about `uint`), nulls (absent fields are left out, never null), and the descriptions of outputs, whose names speak.

use std::sync::Arc;

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The schema of what a tool takes.
pub(super) fn input<T: JsonSchema>() -> Arc<JsonObject> {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    shape::<T>(settings, Descriptions::Keep)
}

/// The schema of what a tool answers.
pub(super) fn output<T: JsonSchema>() -> Arc<JsonObject> {
    let settings =
        SchemaSettings::draft2020_12().for_serialize().with(|s| s.inline_subschemas = true);
    shape::<T>(settings, Descriptions::Drop)
}

/// Whether descriptions of fields are worth their bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Descriptions {
    Keep,
    Drop,
}

fn shape<T: JsonSchema>(settings: SchemaSettings, descriptions: Descriptions) -> Arc<JsonObject> {
    let mut value = settings.into_generator().into_root_schema_for::<T>().to_value();
    prune(&mut value, descriptions, Place::Schema);
    let mut object = match value {
        Value::Object(object) => object,
        // Only `true` and `false` are not objects, and no type of ours is either.
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            JsonObject::new()
        }
    };
    object.remove("$schema");
    object.remove("description");
    object.entry("type").or_insert_with(|| "object".into());
    // Some clients refuse an object schema that does not say which fields it has, even if it has none.
    object.entry("properties").or_insert_with(|| Value::Object(JsonObject::new()));
    Arc::new(object)
}

/// What an object in a schema document is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A schema: its keys are keywords.
    Schema,
    /// A `properties` map: its keys are field names.
    Properties,
}

fn prune(value: &mut Value, descriptions: Descriptions, place: Place) {
    match value {
        Value::Object(object) => {
            if place == Place::Schema {
                for keyword in ["title", "format", "default"] {
                    object.remove(keyword);
                }
                if descriptions == Descriptions::Drop {
                    for keyword in ["description", "minimum", "maximum", "required"] {
                        object.remove(keyword);
                    }
                }
                without_null(object);
            }
            for (key, inner) in object.iter_mut() {
                let properties = place == Place::Schema && key == "properties";
                let inner_place = if properties { Place::Properties } else { Place::Schema };
                prune(inner, descriptions, inner_place);
            }
        }
        Value::Array(items) => {
            for item in items {
                prune(item, descriptions, Place::Schema);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `["string", "null"]` becomes `"string"`; `anyOf` of one schema and null becomes that schema.
fn without_null(object: &mut JsonObject) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            object.extend(only);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(serde::Serialize, serde::Deserialize, JsonSchema)]
    struct Inner {
        count: u64,
    }

    #[derive(serde::Serialize, serde::Deserialize, JsonSchema)]
    struct Sample {
        /// What it is called.
        title: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        inner: Option<Inner>,
    }

    #[test]
    fn a_field_may_be_called_like_a_keyword_and_nulls_and_formats_go() {
        assert_eq!(
            Value::Object(output::<Sample>().as_ref().clone()),
            json!({"type": "object", "properties": {
                "title": {"type": "string"},
                "inner": {"type": "object", "properties": {"count": {"type": "integer"}}},
            }})
        );
        let input = input::<Sample>();
        assert_eq!(input["properties"]["title"]["description"], "What it is called.");
    }
}
