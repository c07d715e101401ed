//! Parses text into a checked syntax tree: every check that does not need the types of columns.
//!
//! Only expressions over one row are accepted: no subqueries, aggregates, window functions,
//! wildcards, placeholders or statements. The length of the text, the number of nodes and the depth
//! have limits, and the work runs on a thread with a large stack, so that no expression can
//! overflow the stack of the caller.
//!
//! A two-part column name such as `source.email` is written with its dot; each part is quoted if it
//! needs quotes.

mod check;

use std::collections::HashSet;
use std::ops::{ControlFlow, Range};

use datafusion_sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, Value, Visit, visit_expressions_mut,
};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};

use self::check::Check;
use super::location::{bytes, offset, split_location};
use super::nearest::nearest;
use super::registry::Registry;

/// The maximum length of an expression, in bytes.
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// The maximum number of nodes of a syntax tree.
const NODES_MAX: usize = 1_000;
/// The maximum depth of a syntax tree; a chain of `+` is as deep as it is long.
const DEPTH_MAX: usize = 100;
/// The maximum nesting of parentheses and calls that the parser accepts.
const NESTING_MAX: usize = 100;
/// The stack of the thread that parses and plans, in bytes: enough for the limits above in a debug
/// build.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// An error in an expression, with its position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// The bytes of the text that are wrong; an empty range at the end if something is missing.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl ExpressionError {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            span,
            message: message.into(),
            help: None,
        })
    }

    pub(super) fn help(mut self: Box<Self>, help: impl Into<String>) -> Box<Self> {
        self.help = Some(help.into());
        self
    }
}

/// A checked syntax tree.
pub(super) struct Parsed {
    pub(super) tree: SqlExpr,
    /// The columns that the expression names, each once, in order.
    pub(super) references: Vec<String>,
    /// Every column name as it is written, split into its parts, in order.
    pub(super) names: Vec<Name>,
}

/// A column name as it is written in an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The parts between the dots; one part for a plain name.
    pub parts: Vec<String>,
    /// The byte range of the name in the text.
    pub span: Range<usize>,
}

/// Runs `work` on a thread whose stack is large enough for every accepted expression.
pub(super) fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new()
            .name("expression".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .expect("a thread can be started to compile an expression");
        match worker.join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Parses and checks `text`. `columns` are the names that it may use, if they are known. Call it on
/// a large stack.
pub(super) fn parse(
    text: &str,
    columns: Option<&[&str]>,
    registry: &Registry,
) -> Result<Parsed, Box<ExpressionError>> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(ExpressionError::new(
            0..text.len(),
            format!("the expression is longer than {TEXT_BYTES_MAX} bytes"),
        ));
    }
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|error| {
            let start = offset(text, error.location);
            ExpressionError::new(start..text.len(), lower_first(&error.message))
        })?;
    if tokens.iter().all(|token| is_space(&token.token)) {
        return Err(ExpressionError::new(
            0..text.len(),
            "the expression is empty",
        ));
    }

    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(NESTING_MAX)
        .with_tokens_with_locations(tokens.clone());
    let mut tree = parser
        .parse_expr()
        .map_err(|error| syntax_error(text, &tokens, &error))?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        return Err(ExpressionError::new(
            bytes(text, next.span),
            format!("expected the end of the expression, found {}", next.token),
        ));
    }

    let mut check = Check {
        text,
        columns,
        registry,
        nodes: 0,
        depth: 0,
        members: HashSet::new(),
        references: Vec::new(),
        names: Vec::new(),
    };
    if let ControlFlow::Break(error) = tree.visit(&mut check) {
        return Err(error);
    }
    let (references, names) = (check.references, check.names);
    if let Some(columns) = columns {
        let _: ControlFlow<()> = visit_expressions_mut(&mut tree, |part| {
            join_name(part, columns);
            ControlFlow::Continue(())
        });
    }
    Ok(Parsed {
        tree,
        references,
        names,
    })
}

/// Turns a two-part column name such as `source.email` into one identifier.
fn join_name(part: &mut SqlExpr, columns: &[&str]) {
    let (joined, rest) = match part {
        // A member of the JSON document that says where a change comes from.
        SqlExpr::CompoundIdentifier(names) if is_document(&names[0], columns) => {
            let mut value = SqlExpr::Identifier(names[0].clone());
            for (index, name) in names[1..].iter().enumerate() {
                let is_last = index + 2 == names.len();
                value = SqlExpr::BinaryOp {
                    left: Box::new(value),
                    op: match is_last {
                        true => BinaryOperator::LongArrow,
                        false => BinaryOperator::Arrow,
                    },
                    right: Box::new(SqlExpr::Value(
                        Value::SingleQuotedString(name.value.clone()).with_span(name.span),
                    )),
                };
            }
            *part = SqlExpr::Nested(Box::new(value));
            return;
        }
        SqlExpr::CompoundIdentifier(names) => {
            let Some(joined) = joined_name(&names[0], &names[1], columns) else {
                return;
            };
            let members = names[2..].iter().cloned();
            let rest = members.map(|name| AccessExpr::Dot(SqlExpr::Identifier(name)));
            (joined, rest.collect())
        }
        SqlExpr::CompoundFieldAccess { root, access_chain } => {
            let joined = match (root.as_ref(), access_chain.first()) {
                (SqlExpr::Identifier(side), Some(AccessExpr::Dot(SqlExpr::Identifier(name)))) => {
                    joined_name(side, name, columns)
                }
                _ => None,
            };
            let Some(joined) = joined else { return };
            (joined, access_chain.split_off(1))
        }
        _ => return,
    };
    let name = SqlExpr::Identifier(joined);
    *part = match rest.is_empty() {
        true => name,
        false => SqlExpr::CompoundFieldAccess {
            root: Box::new(name),
            access_chain: rest,
        },
    };
}

/// Whether a name is that of the metadata which is a JSON document.
fn is_document(name: &Ident, columns: &[&str]) -> bool {
    name.value == "_source" && columns.contains(&"_source")
}

/// The single identifier for `side.name`, if a column has that name; a column named `side` has
/// precedence.
fn joined_name(side: &Ident, name: &Ident, columns: &[&str]) -> Option<Ident> {
    let value = format!("{}.{}", side.value, name.value);
    let is_column = |name: &str| columns.contains(&name);
    (!is_column(&side.value) && is_column(&value)).then(|| Ident {
        value,
        quote_style: Some('"'),
        span: side.span.union(&name.span),
    })
}

/// Splits a condition at its top-level `and`s, each part as text; one part if there is no `and`.
pub(super) fn conjuncts(tree: &SqlExpr) -> Vec<String> {
    match tree {
        SqlExpr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            let mut parts = conjuncts(left);
            parts.extend(conjuncts(right));
            parts
        }
        SqlExpr::Nested(inner) => conjuncts(inner),
        other => vec![other.to_string()],
    }
}

/// The arguments of a call.
pub(super) fn arguments(function: &Function) -> Vec<&SqlExpr> {
    let FunctionArguments::List(list) = &function.args else {
        return Vec::new();
    };
    list.args
        .iter()
        .filter_map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression),
            _ => None,
        })
        .collect()
}

/// Converts a parser error. The parser gives the position as words at the end of its message.
fn syntax_error(text: &str, tokens: &[TokenWithSpan], error: &ParserError) -> Box<ExpressionError> {
    let message = match error {
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
        ParserError::RecursionLimitExceeded => {
            return ExpressionError::new(
                0..text.len(),
                format!("the expression is nested more than {NESTING_MAX} deep"),
            )
            .help("split it over two map operators");
        }
    };
    let (message, location) = split_location(message);
    let token = location.and_then(|location| {
        tokens
            .iter()
            .find(|token| token.span.start == location && !is_space(&token.token))
    });
    let span = match (location, token) {
        (_, Some(token)) => bytes(text, token.span),
        (Some(location), None) => offset(text, location)..text.len(),
        (None, None) => text.len()..text.len(),
    };
    let message = message
        .replace("Expected: ", "expected ")
        .replace(", found: EOF", ", found the end")
        .replace(", found: ", ", found ");
    let error = ExpressionError::new(span, lower_first(&message));
    match token.map(|token| &token.token) {
        Some(Token::Word(word)) => error.help(format!(
            "to use it as a column name, write it in double quotes: \"{}\"",
            word.value
        )),
        _ => error,
    }
}

fn is_space(token: &Token) -> bool {
    matches!(
        token,
        Token::EOF
            | Token::Whitespace(
                Whitespace::Space
                    | Whitespace::Newline
                    | Whitespace::Tab
                    | Whitespace::SingleLineComment { .. }
                    | Whitespace::MultiLineComment(_)
            )
    )
}

/// The help for an unknown column name.
fn other_names(name: &str, columns: &[&str]) -> String {
    let ending = format!(".{name}");
    let beginning = format!("{name}.");
    // Columns of which the user wrote only one of the two parts.
    let halves: Vec<String> = columns
        .iter()
        .filter(|column| column.ends_with(&ending) || column.starts_with(&beginning))
        .map(|column| written(column, columns))
        .collect();
    if let Some((last, others)) = halves.split_last() {
        return match others {
            [] => format!("did you mean {last}?"),
            others => format!("did you mean {} or {last}?", others.join(", ")),
        };
    }
    match nearest(name, columns.iter().copied()) {
        Some(meant) => format!("did you mean {}?", written(meant, columns)),
        None => format!("the columns are {}", columns.join(", ")),
    }
}

/// A column name as it is written in an expression; a two-part name is quoted part by part.
fn written(name: &str, columns: &[&str]) -> String {
    match name.split_once('.') {
        Some((side, column)) if !columns.contains(&side) => {
            format!("{}.{}", quoted(side), quoted(column))
        }
        _ => quoted(name),
    }
}

/// Quotes one part of a name if it needs quotes.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || c == '_';
    if name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

pub(super) fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        // A name in capitals keeps its case.
        (Some(_), Some(second)) if second.is_uppercase() => text.to_owned(),
        (Some(first), _) => first.to_lowercase().chain(text.chars().skip(1)).collect(),
        (None, _) => String::new(),
    }
}
