//! Functions that a pipeline file defines: a name, arguments with types, and an expression over them.
//!
//! A call is replaced by the expression, each argument by what the call gives for it, cast to its type. So a
//! defined function is usable in every expression, and costs nothing beside what it computes. Definitions may
//! use one another, but not themselves.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::location::bytes;
use super::registry::Registry;
use super::syntax::ExpressionError;
use super::{Clock, Expression};

/// The maximum length of an expression in which all calls are replaced, in bytes.
const EXPANDED_BYTES_MAX: usize = 16 * 1024;

/// One defined function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The names of the arguments and their SQL types.
    pub arguments: Vec<(String, String)>,
    /// The expression over the arguments.
    pub sql: String,
}

/// The functions of a file, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definitions(BTreeMap<String, Definition>);

/// What is wrong with a definition: which function, which of its keys, and the error.
pub type DefinitionError = (String, &'static str, Box<ExpressionError>);

/// An expression in which calls are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expanded {
    /// The expression.
    pub text: String,
    /// For each part of it the range, the range that it stands for, and whether it is a call.
    pub parts: Vec<(Range<usize>, Range<usize>, bool)>,
}

impl Definitions {
    /// Of these functions; every definition is checked.
    ///
    /// # Errors
    /// Every definition that is wrong.
    pub fn new(definitions: Vec<(String, Definition)>) -> Result<Self, Vec<DefinitionError>> {
        let mut errors = Vec::new();
        let registry = Registry::new(&Clock::stopped_at(0));
        let mut all = BTreeMap::new();
        for (name, definition) in definitions {
            let lower = name.to_lowercase();
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty()
                || !name.chars().all(plain)
                || name.starts_with(|c: char| c.is_ascii_digit())
            {
                let message = format!("`{name}` is not a valid name for a function");
                let error =
                    ExpressionError::new(0..0, message).help("use letters, digits and `_` only");
                errors.push((name, "", error));
            } else if registry.function(&lower).is_some()
                || super::registry::refusal(&lower).is_some()
            {
                let error = ExpressionError::new(0..0, format!("`{name}` is a function already"));
                errors.push((name, "", error.help("choose another name")));
            } else {
                all.insert(lower, definition);
            }
        }
        let unchecked = Self(all);
        let mut checked = BTreeMap::new();
        for (name, definition) in &unchecked.0 {
            match unchecked.checked(name, definition) {
                Ok(definition) => {
                    checked.insert(name.clone(), definition);
                }
                Err((key, error)) => errors.push((name.clone(), key, error)),
            }
        }
        match errors.is_empty() {
            true => Ok(Self(checked)),
            false => Err(errors),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, and the definitions with calls replaced.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Definition)> {
        self.0
            .iter()
            .map(|(name, definition)| (name.as_str(), definition))
    }

    /// The definition with the calls of others replaced, if it is right.
    fn checked(
        &self,
        name: &str,
        definition: &Definition,
    ) -> Result<Definition, (&'static str, Box<ExpressionError>)> {
        let sql = self
            .flat(&definition.sql, &[name])
            .map_err(|error| ("sql", error))?;
        let nothing = Arc::new(Schema::empty());
        let mut fields = Vec::new();
        for (argument, data_type) in &definition.arguments {
            let probe = format!("cast(null as {data_type})");
            let compiled = Expression::compile(&probe, &nothing).map_err(|_| {
                let message = format!("argument {argument}: no type {data_type}");
                let help = "write for example text, bigint, decimal(12, 2), date or timestamptz";
                ("arguments", ExpressionError::new(0..0, message).help(help))
            })?;
            fields.push(Field::new(argument, compiled.data_type().clone(), true));
        }
        let schema = Arc::new(Schema::new(fields));
        Expression::compile(&sql, &schema).map_err(|error| ("sql", error))?;
        Ok(Definition {
            sql,
            ..definition.clone()
        })
    }

    /// A text with all calls replaced, also those inside what replaces others.
    fn flat(&self, text: &str, inside: &[&str]) -> Result<String, Box<ExpressionError>> {
        let mut result = String::new();
        let mut at = 0;
        for call in self.calls(text)? {
            if inside.contains(&call.name.as_str()) {
                let message = format!("{} uses itself", call.name);
                return Err(ExpressionError::new(call.span, message));
            }
            result.push_str(&text[at..call.span.start]);
            at = call.span.end;
            let definition = &self.0[&call.name];
            let arguments = call
                .arguments
                .iter()
                .map(|range| self.flat(&text[range.clone()], inside));
            let arguments = arguments.collect::<Result<Vec<String>, _>>()?;
            let mut deeper = inside.to_vec();
            deeper.push(&call.name);
            let body = self.flat(&definition.sql, &deeper)?;
            result.push_str(&applied(definition, &body, &arguments)?);
            if result.len() > EXPANDED_BYTES_MAX {
                let message = format!(
                    "the expression is longer than {EXPANDED_BYTES_MAX} bytes with its functions"
                );
                return Err(ExpressionError::new(0..text.len(), message));
            }
        }
        result.push_str(&text[at..]);
        Ok(result)
    }

    /// The expression with every call replaced; `None` where there is none.
    ///
    /// # Errors
    /// A call with too few or too many arguments.
    pub fn expand(&self, text: &str) -> Result<Option<Expanded>, Box<ExpressionError>> {
        let calls = match self.is_empty() {
            true => Vec::new(),
            false => self.calls(text)?,
        };
        if calls.is_empty() {
            return Ok(None);
        }
        let mut expanded = Expanded {
            text: String::new(),
            parts: Vec::new(),
        };
        let mut at = 0;
        for call in calls {
            expanded.push(&text[at..call.span.start], at..call.span.start, false);
            let replaced = self.flat(&text[call.span.clone()], &[])?;
            at = call.span.end;
            expanded.push(&replaced, call.span, true);
        }
        expanded.push(&text[at..], at..text.len(), false);
        Ok(Some(expanded))
    }

    /// The outermost calls of defined functions, in order. A text that cannot be read has none: whoever
    /// compiles it says why.
    fn calls(&self, text: &str) -> Result<Vec<Call>, Box<ExpressionError>> {
        let Ok(tokens) = tokens(text) else {
            return Ok(Vec::new());
        };
        let mut calls = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let Some(name) = self.defined(&tokens, at) else {
                at += 1;
                continue;
            };
            let Some((arguments, end)) = arguments(text, &tokens, at + 1) else {
                at += 1;
                continue;
            };
            let span = bytes(text, tokens[at].span).start..bytes(text, tokens[end].span).end;
            let wanted = &self.0[&name].arguments;
            if arguments.len() != wanted.len() {
                let names: Vec<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
                let message = format!(
                    "{name} takes {} arguments, found {}",
                    wanted.len(),
                    arguments.len()
                );
                let error = ExpressionError::new(span, message);
                return Err(error.help(format!("write {name}({})", names.join(", "))));
            }
            calls.push(Call {
                name,
                span,
                arguments,
            });
            at = end + 1;
        }
        Ok(calls)
    }

    /// The name of the defined function that is called at a token.
    fn defined(&self, tokens: &[TokenWithSpan], at: usize) -> Option<String> {
        let Token::Word(word) = &tokens[at].token else {
            return None;
        };
        let name = word.value.to_lowercase();
        let is_called = tokens
            .get(at + 1)
            .is_some_and(|next| next.token == Token::LParen);
        (is_called && word.quote_style.is_none() && self.0.contains_key(&name)).then_some(name)
    }
}

impl Expanded {
    fn push(&mut self, text: &str, written: Range<usize>, is_call: bool) {
        if text.is_empty() {
            return;
        }
        let start = self.text.len();
        self.text.push_str(text);
        self.parts.push((start..self.text.len(), written, is_call));
    }
}

struct Call {
    name: String,
    span: Range<usize>,
    arguments: Vec<Range<usize>>,
}

fn tokens(text: &str) -> Result<Vec<TokenWithSpan>, ()> {
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location();
    let mut tokens = tokens.map_err(|_| ())?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
    Ok(tokens)
}

/// The arguments behind the parenthesis at `open`, and the index of the one that closes it.
fn arguments(
    text: &str,
    tokens: &[TokenWithSpan],
    open: usize,
) -> Option<(Vec<Range<usize>>, usize)> {
    let mut depth = 0;
    let mut found = Vec::new();
    let mut start = bytes(text, tokens[open].span).end;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        let here = bytes(text, token.span);
        match token.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => {
                depth -= 1;
                if depth == 0 {
                    let is_empty = at == open + 1;
                    if !is_empty {
                        found.push(start..here.start);
                    }
                    return Some((found, at));
                }
            }
            Token::Comma if depth == 1 => {
                found.push(start..here.start);
                start = here.end;
            }
            _ => {}
        }
    }
    None
}

/// The expression of a definition over these arguments.
fn applied(
    definition: &Definition,
    body: &str,
    arguments: &[String],
) -> Result<String, Box<ExpressionError>> {
    let tokens = tokens(body).unwrap_or_default();
    let mut result = String::from("(");
    let mut at = 0;
    for (index, token) in tokens.iter().enumerate() {
        let Token::Word(word) = &token.token else {
            continue;
        };
        let named = definition
            .arguments
            .iter()
            .position(|(name, _)| *name == word.value);
        let is_member = index > 0 && tokens[index - 1].token == Token::Period;
        let is_call = tokens
            .get(index + 1)
            .is_some_and(|next| next.token == Token::LParen);
        let Some(named) = named.filter(|_| !is_member && !is_call) else {
            continue;
        };
        let place = bytes(body, token.span);
        result.push_str(&body[at..place.start]);
        let data_type = &definition.arguments[named].1;
        result.push_str(&format!(
            "cast(({}) as {data_type})",
            arguments[named].trim()
        ));
        at = place.end;
    }
    result.push_str(&body[at..]);
    result.push(')');
    Ok(result)
}

#[cfg(test)]
mod tests;
