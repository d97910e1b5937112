//! What fields the built-in kinds have, found out from their types.
//!
//! The types of `k8s-openapi` say which fields they know when they are read from something. Here that something is
//! nothing but a listener: it offers every field once and notes what is asked for in it. So there is one truth, and no
//! second table to keep in step with it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    fmt,
    sync::LazyLock,
};

use serde::de::{
    DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor,
    value::{BorrowedStrDeserializer, StrDeserializer},
};

use super::shapes_kinds;

/// What stands in a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    Time,
    Whole,
    Number,
    Truth,
    Quantity,
    /// A number or a text.
    Either,
    /// Anything.
    Any,
    List(Box<Shape>),
    Map(Box<Shape>),
    /// One of the structures of the kind, by name.
    Struct(&'static str),
}

/// The structures of a kind, its own among them: name, then field and what stands in it.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    pub(crate) root: &'static str,
    pub(crate) structs: BTreeMap<&'static str, BTreeMap<&'static str, Shape>>,
}

static KINDS: LazyLock<HashMap<(&'static str, &'static str), Shapes>> =
    LazyLock::new(shapes_kinds::all);

/// The fields of a built-in kind; `None` for kinds whose types are not known.
pub(crate) fn of(group: &str, kind: &str) -> Option<&'static Shapes> {
    KINDS
        .iter()
        .find(|((of, name), _)| *of == group && *name == kind)
        .map(|(_, shapes)| shapes)
}

/// Listens to what a type asks for.
pub(super) fn listen<T: serde::de::DeserializeOwned>(kind: &'static str) -> Shapes {
    let structs = RefCell::new(BTreeMap::new());
    let mut shape = Shape::Any;
    // A type that cannot be read from nothing has told its fields up to there; the test below knows all kinds.
    let _ = T::deserialize(Listener {
        shape: &mut shape,
        structs: &structs,
        text: "",
    });
    Shapes {
        root: kind,
        structs: structs.into_inner(),
    }
}

/// Every field that a type reads, with what it expects there: `spec.disks.{}.path`, `text`.
///
/// `{}` stands for any key of a map, `[]` for any item of a list. A structure that holds itself is told once.
#[must_use]
pub fn fields_of<T: serde::de::DeserializeOwned>() -> Vec<(String, &'static str)> {
    let structs = RefCell::new(BTreeMap::new());
    let mut shape = Shape::Any;
    let _ = T::deserialize(Listener {
        shape: &mut shape,
        structs: &structs,
        text: "",
    });
    let mut found = Vec::new();
    flatten(
        &structs.into_inner(),
        &shape,
        "",
        &mut Vec::new(),
        &mut found,
    );
    found
}

fn flatten(
    structs: &BTreeMap<&'static str, BTreeMap<&'static str, Shape>>,
    shape: &Shape,
    path: &str,
    above: &mut Vec<&'static str>,
    found: &mut Vec<(String, &'static str)>,
) {
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    let kind = match shape {
        Shape::Struct(name) => {
            if !above.contains(name) {
                above.push(name);
                for (field, shape) in structs.get(name).into_iter().flatten() {
                    flatten(structs, shape, &below(field), above, found);
                }
                above.pop();
            }
            return;
        }
        Shape::List(inner) => return flatten(structs, inner, &below("[]"), above, found),
        Shape::Map(inner) => return flatten(structs, inner, &below("{}"), above, found),
        Shape::Text | Shape::Time => "text",
        Shape::Whole | Shape::Number => "number",
        Shape::Truth => "truth",
        Shape::Quantity | Shape::Either | Shape::Any => "any",
    };
    found.push((path.to_owned(), kind));
}

type Structs = RefCell<BTreeMap<&'static str, BTreeMap<&'static str, Shape>>>;

/// Stands for one value.
struct Listener<'a> {
    shape: &'a mut Shape,
    structs: &'a Structs,
    /// What texts are offered as.
    text: &'static str,
}

/// Why a type could not be read; of no interest.
#[derive(Debug)]
struct Unread;

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not read")
    }
}

impl std::error::Error for Unread {}

impl serde::de::Error for Unread {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl<'de> Deserializer<'de> for Listener<'_> {
    type Error = Unread;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        let name = std::any::type_name::<V>();
        *self.shape = Shape::Any;
        if name.contains("int_or_string") {
            *self.shape = Shape::Either;
            return visitor.visit_i64(0);
        }
        if name.contains("json_schema_props") {
            return visitor.visit_map(Nothing);
        }
        visitor.visit_unit()
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        *self.shape = Shape::Truth;
        visitor.visit_bool(false)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        *self.shape = Shape::Whole;
        visitor.visit_i32(0)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        *self.shape = Shape::Whole;
        visitor.visit_i64(0)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        *self.shape = Shape::Number;
        visitor.visit_f64(0.0)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        *self.shape = Shape::Text;
        visitor.visit_str(self.text)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unread> {
        match name {
            "Quantity" => {
                *self.shape = Shape::Quantity;
                visitor.visit_str("")
            }
            "Time" | "MicroTime" => {
                let mut unused = Shape::Any;
                let result = visitor.visit_newtype_struct(Listener {
                    shape: &mut unused,
                    structs: self.structs,
                    text: "1970-01-01T00:00:00Z",
                });
                *self.shape = Shape::Time;
                result
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        let mut inner = Shape::Any;
        let result = visitor.visit_seq(One {
            listener: Some(Listener {
                shape: &mut inner,
                structs: self.structs,
                text: "",
            }),
        });
        *self.shape = Shape::List(Box::new(inner));
        result
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        let mut inner = Shape::Any;
        let result = visitor.visit_map(One {
            listener: Some(Listener {
                shape: &mut inner,
                structs: self.structs,
                text: "",
            }),
        });
        *self.shape = Shape::Map(Box::new(inner));
        result
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unread> {
        *self.shape = Shape::Struct(name);
        if self.structs.borrow().contains_key(name) {
            // Told already, or being told: some structures hold themselves.
            return visitor.visit_map(Nothing);
        }
        self.structs.borrow_mut().insert(name, BTreeMap::new());
        visitor.visit_map(Fields {
            name,
            fields: fields.iter(),
            structs: self.structs,
            now: "",
        })
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
        ignored_any
    }
}

/// No field at all.
struct Nothing;

impl<'de> MapAccess<'de> for Nothing {
    type Error = Unread;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, _: K) -> Result<Option<K::Value>, Unread> {
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, _: V) -> Result<V::Value, Unread> {
        Err(Unread)
    }
}

/// One element of a list, or one entry of a map.
struct One<'a> {
    listener: Option<Listener<'a>>,
}

impl<'de> SeqAccess<'de> for One<'_> {
    type Error = Unread;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unread> {
        let Some(listener) = self.listener.take() else {
            return Ok(None);
        };
        seed.deserialize(listener).map(Some)
    }
}

impl<'de> MapAccess<'de> for One<'_> {
    type Error = Unread;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unread> {
        if self.listener.is_none() {
            return Ok(None);
        }
        seed.deserialize(StrDeserializer::new("")).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unread> {
        seed.deserialize(self.listener.take().ok_or(Unread)?)
    }
}

/// Every field of a structure, one after the other.
struct Fields<'a> {
    name: &'static str,
    fields: std::slice::Iter<'static, &'static str>,
    structs: &'a Structs,
    now: &'static str,
}

impl Fields<'_> {
    fn note(&self, field: &'static str, shape: Shape) {
        if let Some(fields) = self.structs.borrow_mut().get_mut(self.name) {
            fields.insert(field, shape);
        }
    }
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Unread;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unread> {
        while let Some(field) = self.fields.next() {
            // A kind takes only its own name here, whatever is offered.
            if matches!(*field, "apiVersion" | "kind") {
                self.note(field, Shape::Text);
                continue;
            }
            self.now = field;
            return seed
                .deserialize(BorrowedStrDeserializer::new(field))
                .map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unread> {
        let mut shape = Shape::Any;
        let result = seed.deserialize(Listener {
            shape: &mut shape,
            structs: self.structs,
            text: "",
        });
        self.note(self.now, shape);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_tell_their_fields() {
        let pod = of("", "Pod").expect("pods are known");
        let spec = &pod.structs["PodSpec"];
        assert_eq!(spec["nodeName"], Shape::Text);
        assert_eq!(spec["hostNetwork"], Shape::Truth);
        assert_eq!(
            spec["containers"],
            Shape::List(Box::new(Shape::Struct("Container")))
        );
        assert_eq!(
            pod.structs["ResourceRequirements"]["limits"],
            Shape::Map(Box::new(Shape::Quantity))
        );
        assert_eq!(pod.structs["ObjectMeta"]["creationTimestamp"], Shape::Time);
        let service = of("", "Service").expect("services are known");
        assert_eq!(service.structs["ServicePort"]["targetPort"], Shape::Either);
    }

    /// A kind whose type cannot be listened to to the end would refuse good fields.
    #[test]
    fn every_kind_is_heard_to_the_end() {
        for ((group, kind), shapes) in KINDS.iter() {
            let own = shapes
                .structs
                .get(shapes.root)
                .unwrap_or_else(|| panic!("{group} {kind} tells nothing"));
            assert!(own.contains_key("metadata"), "{group} {kind}: {own:?}");
            for (name, fields) in &shapes.structs {
                assert!(!fields.is_empty(), "{group} {kind} {name} is empty");
            }
        }
        assert!(KINDS.len() > 45, "{} kinds", KINDS.len());
        let definition = of("apiextensions.k8s.io", "CustomResourceDefinition").expect("known");
        assert!(
            definition.structs["JSONSchemaProps"].contains_key("xml")
                || definition.structs["JSONSchemaProps"].len() > 30
        );
    }
}
