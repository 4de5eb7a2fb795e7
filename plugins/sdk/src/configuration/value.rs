//! Reads JSON values and remembers where an error happened.

use serde::Deserializer;
use serde::de::DeserializeSeed;
use serde::de::EnumAccess;
use serde::de::IntoDeserializer;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::VariantAccess;
use serde::de::Visitor;
use serde::de::value::StrDeserializer;
use serde::forward_to_deserialize_any;
use serde_json::Map;
use serde_json::Number;
use serde_json::Value;
use serde_json::map;

use super::refused::Refused;

/// A value, to be read.
#[derive(Clone, Copy)]
pub(super) struct Node<'a>(pub(super) &'a Value);

/// What a value is, in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Reads a whole number of a type, named in the error when the number does not fit.
macro_rules! whole {
    ($($method:ident, $visit:ident, $type:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            let Value::Number(number) = self.0 else {
                return Err(Refused::kind("a whole number", kind(self.0)));
            };
            if let Some(whole) = number.as_u64() {
                match <$type>::try_from(whole) {
                    Ok(fits) => visitor.$visit(fits),
                    Err(_) => Err(Refused::range(&whole.to_string(), stringify!($type))),
                }
            } else if let Some(whole) = number.as_i64() {
                match <$type>::try_from(whole) {
                    Ok(fits) => visitor.$visit(fits),
                    Err(_) => Err(Refused::range(&whole.to_string(), stringify!($type))),
                }
            } else {
                Err(Refused::kind("a whole number", "a fraction"))
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => visit_number(number, visitor),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(list) => visitor.visit_seq(List { values: list.iter(), place: 0 }),
            Value::Object(object) => visitor.visit_map(Object::of(object)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.0 {
            Value::Bool(value) => visitor.visit_bool(*value),
            other => Err(Refused::kind("true or false", kind(other))),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.0 {
            Value::String(text) => visitor.visit_borrowed_str(text),
            other => Err(Refused::kind("a text", kind(other))),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.0 {
            Value::Array(list) => visitor.visit_seq(List { values: list.iter(), place: 0 }),
            other => Err(Refused::kind("a list", kind(other))),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.0 {
            Value::Object(object) => visitor.visit_map(Object::of(object)),
            other => Err(Refused::kind("an object", kind(other))),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        match self.0 {
            Value::String(name) => visitor.visit_enum(Variant { name, value: None }),
            Value::Object(object) if object.len() == 1 => {
                let (name, value) = object.iter().next().expect("one entry");
                visitor.visit_enum(Variant { name, value: Some(value) })
            }
            Value::Object(_) => Err(Refused::kind("an object with one key", "several or none")),
            other => Err(Refused::kind("one of several kinds", kind(other))),
        }
    }

    whole! {
        deserialize_u8, visit_u8, u8;
        deserialize_u16, visit_u16, u16;
        deserialize_u32, visit_u32, u32;
        deserialize_u64, visit_u64, u64;
        deserialize_i8, visit_i8, i8;
        deserialize_i16, visit_i16, i16;
        deserialize_i32, visit_i32, i32;
        deserialize_i64, visit_i64, i64;
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

fn visit_number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, Refused> {
    if let Some(whole) = number.as_u64() {
        visitor.visit_u64(whole)
    } else if let Some(whole) = number.as_i64() {
        visitor.visit_i64(whole)
    } else {
        visitor.visit_f64(number.as_f64().expect("a number that is not whole is a fraction"))
    }
}

/// The values of a list.
struct List<'a> {
    values: std::slice::Iter<'a, Value>,
    place: usize,
}

impl<'de> SeqAccess<'de> for List<'de> {
    type Error = Refused;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refused> {
        let Some(value) = self.values.next() else { return Ok(None) };
        let place = self.place;
        self.place += 1;
        seed.deserialize(Node(value)).map(Some).map_err(|refused| refused.at(place))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.values.len())
    }
}

/// The entries of an object.
struct Object<'a> {
    entries: map::Iter<'a>,
    open: Option<(&'a str, &'a Value)>,
}

impl<'a> Object<'a> {
    fn of(object: &'a Map<String, Value>) -> Self {
        Self { entries: object.iter(), open: None }
    }
}

impl<'de> MapAccess<'de> for Object<'de> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refused> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.open = Some((key, value));
        let key: StrDeserializer<'_, Refused> = key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refused> {
        let (key, value) = self.open.take().expect("a value is read after its key");
        seed.deserialize(Node(value)).map_err(|refused| refused.under(key))
    }
}

/// A kind, named by a text or by the only key of an object.
struct Variant<'a> {
    name: &'a str,
    value: Option<&'a Value>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Refused;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Refused> {
        let name: StrDeserializer<'_, Refused> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> Variant<'de> {
    fn node(&self) -> Result<Node<'de>, Refused> {
        self.value.map(Node).ok_or_else(|| Refused::kind("a value", "nothing").under(self.name))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        match self.value {
            None | Some(Value::Null) => Ok(()),
            Some(value) => Err(Refused::kind("nothing", kind(value)).under(self.name)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Refused> {
        seed.deserialize(self.node()?).map_err(|refused| refused.under(self.name))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Refused> {
        self.node()?.deserialize_seq(visitor).map_err(|refused| refused.under(self.name))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Refused> {
        self.node()?.deserialize_map(visitor).map_err(|refused| refused.under(self.name))
    }
}
