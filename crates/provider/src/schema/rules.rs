//! CEL rules (`x-kubernetes-validations`).
//!
//! Job: compile each rule once and tell which of a value's rules it breaks. Input: the rules of a schema, and JSON. Output: a
//! [`Verdict`] for each. Invariant: a rule that cannot be compiled or evaluated is never taken for satisfied; a test compiles and
//! evaluates every rule of every embedded definition.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt};
use cel::common::value::Val;
use cel::{Context, Env, ExecutionError};
use regex::Regex;
use serde_json::Value;

use super::structure::Rule;

mod library;
#[cfg(test)]
pub(super) mod tests;

/// A compiled rule; equal texts share one.
#[derive(Clone, Debug)]
pub(super) enum Program {
    /// Compares with the object's previous state, which files do not have.
    Transition,
    /// Can be evaluated.
    Ready(Arc<cel::Program>),
    /// Is not CEL, or is CEL that we do not have.
    Broken(Arc<str>),
}

/// What came of a rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The value is good, or the rule does not apply.
    Satisfied,
    /// The value is not; why, in the words of the definition.
    Violated(String),
    /// As with the API server, a rule that fails to evaluate refuses the object.
    Failed(Failure),
}

/// Why a rule has no outcome.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// What the rule asks for, in the words of the definition.
    pub(super) meaning: String,
    /// What the evaluator says.
    pub(super) error: String,
    /// A field that the rule reads and the value does not have.
    pub(super) absent: Option<String>,
}

/// Every rule's verdict about `value`, in the order of the rules.
pub(super) fn check(rules: &[Rule], value: &Value) -> impl Iterator<Item = Verdict> {
    let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
    context.add_variable_as_val("self", convert(value));
    rules.iter().map(move |rule| rule.check(&context, value))
}

impl Rule {
    fn check(&self, context: &Context<'_, '_>, value: &Value) -> Verdict {
        let failed = |error| {
            Verdict::Failed(Failure {
                meaning: self.meaning(context),
                error,
                absent: self.absent(value),
            })
        };
        let program = self.program.get_or_init(|| Program::compile(&self.rule));
        match program.run(context) {
            None | Some(Ok(cel::Value::Bool(true))) => Verdict::Satisfied,
            Some(Ok(cel::Value::Bool(false))) => Verdict::Violated(self.meaning(context)),
            Some(Ok(_)) => failed("the rule gave no boolean".to_owned()),
            Some(Err(error)) => failed(error),
        }
    }

    /// The first field that the rule reads without asking whether it is there, and that is not.
    fn absent(&self, value: &Value) -> Option<String> {
        static READ: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(has\()?\bself\.(\w+)").ok());
        let object = value.as_object()?;
        let rule = plain_names(&self.rule);
        let mut fields = READ.as_ref()?.captures_iter(&rule).filter(|read| read.get(1).is_none());
        let absent = fields.find_map(|read| read.get(2).filter(|field| !object.contains_key(field.as_str())));
        absent.map(|field| field.as_str().to_owned())
    }

    /// `messageExpression`, else `message`, else the rule itself.
    fn meaning(&self, context: &Context<'_, '_>) -> String {
        let expression = self.message_expression.as_ref().and_then(|expression| {
            let program = self.message_program.get_or_init(|| Program::compile(expression));
            match program.run(context) {
                Some(Ok(cel::Value::String(text))) => Some(text.to_string()),
                _ => None,
            }
        });
        let message = expression.or_else(|| self.message.clone());
        message.unwrap_or_else(|| format!("failed rule: {}", self.rule))
    }
}

impl Program {
    pub(super) fn compile(text: &str) -> Self {
        static PROGRAMS: LazyLock<Mutex<HashMap<String, Program>>> = LazyLock::new(Mutex::default);
        let mut programs = PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = programs.get(text) {
            return program.clone();
        }
        let program = match ENVIRONMENT.compile(&plain_names(text)) {
            Ok(program) if program.references().has_variable("oldSelf") => Self::Transition,
            Ok(program) => Self::Ready(Arc::new(program)),
            Err(error) => Self::Broken(error.to_string().into()),
        };
        programs.insert(text.to_owned(), program.clone());
        program
    }

    /// `None` for a transition rule.
    fn run(&self, context: &Context<'_, '_>) -> Option<Result<cel::Value, String>> {
        match self {
            Self::Transition => None,
            Self::Broken(error) => Some(Err(error.to_string())),
            Self::Ready(program) => Some(program.execute(context).map_err(|error| describe(&error))),
        }
    }
}

/// Errors of the evaluator may quote values, and a Secret's must not get out: only names are passed on.
fn describe(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::UndeclaredReference(name) => format!("undeclared reference to \"{name}\""),
        ExecutionError::NoSuchOverload(overload) => overload.to_string(),
        _ => "the rule cannot be evaluated for this value".to_owned(),
    }
}

/// Fields whose names CEL reserves are written `__namespace__` in rules (Kubernetes, CRD validation rules, "field path escaping").
fn plain_names(text: &str) -> Cow<'_, str> {
    static ESCAPED: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"\b__(as|break|const|continue|else|for|function|if|import|let|loop|package|namespace|return)__\b").ok()
    });
    ESCAPED
        .as_ref()
        .map_or(text.into(), |escaped| escaped.replace_all(text, "$1"))
}

fn convert<'value>(value: &'value Value) -> Box<dyn Val + 'value> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Box::new(CelInt::from(number)),
            (None, Some(number)) => Box::new(CelUInt::from(number)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) => Box::new(CelList::from(items.iter().map(convert).collect::<Vec<_>>())),
        Value::Object(object) => {
            let entries = object
                .iter()
                .map(|(key, value)| (CelMapKey::String(CelString::from(key.as_str())), convert(value)));
            Box::new(CelMap::from(entries.collect::<HashMap<_, _>>()))
        }
    }
}

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(library::environment()));
