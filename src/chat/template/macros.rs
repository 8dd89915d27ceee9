//! Macros that take more arguments than they have names for.

use std::sync::Arc;

use minijinja::value::{Enumerator, Kwargs, Object, Rest, Tuple, from_args};
use minijinja::{Error, State, Value};

use super::source::REST;

/// A macro whose two last parameters are given what the others do not take.
#[derive(Debug)]
struct CatchAll(Value);

/// `inner` with the rest of its arguments.
pub(super) fn catch_all(inner: Value) -> Value {
    Value::from_object(CatchAll(inner))
}

impl Object for CatchAll {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get_item(key).ok()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["name", "arguments", "caller"])
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, arguments: &[Value]) -> Result<Value, Error> {
        let (given, named): (Rest<Value>, Kwargs) = from_args(arguments)?;
        let mut parameters = Vec::new();
        for name in self.0.get_attr("arguments")?.try_iter()? {
            parameters.extend(name.as_str().filter(|name| !REST.contains(name)).map(str::to_owned));
        }
        let kept = given.len().min(parameters.len());
        let mut own = Vec::new();
        let mut others = Vec::new();
        for name in named.args() {
            let is_own = name == "caller" || parameters.iter().any(|parameter| parameter == name);
            let value: Value = named.get(name)?;
            if is_own { own.push((name.to_owned(), value)) } else { others.push((Value::from(name), value)) }
        }
        let [positional, keyword] = REST;
        own.push((positional.into(), Tuple::from(&given[kept..]).into()));
        own.push((keyword.into(), Value::from_pairs(others)));
        let mut arguments = given[..kept].to_vec();
        arguments.push(own.into_iter().collect::<Kwargs>().into());
        self.0.call(state, &arguments)
    }
}
