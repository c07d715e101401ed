//! Refuses what an expression over one row cannot hold, and lists the columns that it names.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion_expr::sqlparser::ast::Spanned;
use datafusion_sql::sqlparser::ast::{
    AccessExpr, Expr as SqlExpr, Function, FunctionArguments, Ident, Query, Value, ValueWithSpan,
    Visitor,
};
use datafusion_sql::sqlparser::tokenizer::Span;

use super::{DEPTH_MAX, ExpressionError, NODES_MAX, Name, arguments, other_names};
use crate::function::location::bytes;
use crate::function::nearest::nearest;
use crate::function::registry::{Registry, refusal};

/// Visits every node once and refuses what is not allowed.
pub(super) struct Check<'a> {
    pub(super) text: &'a str,
    pub(super) columns: Option<&'a [&'a str]>,
    pub(super) registry: &'a Registry,
    pub(super) nodes: usize,
    pub(super) depth: usize,
    /// Names after a dot that are members of a struct, not columns.
    pub(super) members: HashSet<Span>,
    pub(super) references: Vec<String>,
    pub(super) names: Vec<Name>,
}

pub(super) type Checked = ControlFlow<Box<ExpressionError>>;

impl Visitor for Check<'_> {
    type Break = Box<ExpressionError>;

    fn pre_visit_query(&mut self, query: &Query) -> Checked {
        self.refuse(query.span(), "a subquery is not allowed here")
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> Checked {
        match &value.value {
            Value::Placeholder(_) => self.refuse(value.span, "a placeholder is not allowed here"),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expression: &SqlExpr) -> Checked {
        self.nodes += 1;
        self.depth += 1;
        if self.nodes > NODES_MAX || self.depth > DEPTH_MAX {
            return ControlFlow::Break(
                ExpressionError::new(
                    0..self.text.len(),
                    format!(
                        "the expression is too large: more than {NODES_MAX} parts, or more than \
                         {DEPTH_MAX} inside one another"
                    ),
                )
                .help("split it over two map operators"),
            );
        }
        match expression {
            SqlExpr::Identifier(name) if self.members.contains(&name.span) => {
                ControlFlow::Continue(())
            }
            SqlExpr::Identifier(name) => self.column(&[name]),
            SqlExpr::CompoundIdentifier(names) => self.column(&names.iter().collect::<Vec<_>>()),
            SqlExpr::CompoundFieldAccess { root, access_chain } => {
                let mut names = Vec::new();
                if let SqlExpr::Identifier(root) = root.as_ref() {
                    names.push(root);
                }
                let mut plain = !names.is_empty();
                for access in access_chain {
                    if let AccessExpr::Dot(SqlExpr::Identifier(member)) = access {
                        self.members.insert(member.span);
                        if plain {
                            names.push(member);
                        }
                    } else {
                        plain = false;
                    }
                }
                match names.first() {
                    // The full name is checked here; the visit of the root alone is skipped.
                    Some(root) => {
                        self.members.insert(root.span);
                        self.column(&names)
                    }
                    None => ControlFlow::Continue(()),
                }
            }
            SqlExpr::Function(function) => self.function(function),
            SqlExpr::Wildcard(_) | SqlExpr::QualifiedWildcard(..) => {
                self.refuse(expression.span(), "* is not allowed here: name the columns")
            }
            SqlExpr::Lambda(_) => self.refuse(expression.span(), "a lambda is not allowed here"),
            SqlExpr::GroupingSets(_) | SqlExpr::Cube(_) | SqlExpr::Rollup(_) => {
                self.refuse(expression.span(), "grouping is not allowed here")
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, _: &SqlExpr) -> Checked {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

impl Check<'_> {
    pub(super) fn refuse(&self, span: Span, message: impl Into<String>) -> Checked {
        ControlFlow::Break(ExpressionError::new(bytes(self.text, span), message))
    }

    pub(super) fn column(&mut self, names: &[&Ident]) -> Checked {
        let first = names[0];
        if let Some(columns) = self.columns
            && !columns.contains(&first.value.as_str())
        {
            let side = format!("{}.", first.value);
            let has_two_parts = columns.iter().any(|column| column.starts_with(&side));
            let (name, span) = match names.get(1) {
                Some(second) if has_two_parts => (
                    format!("{side}{}", second.value),
                    first.span.union(&second.span),
                ),
                _ => (first.value.clone(), first.span),
            };
            if !columns.contains(&name.as_str()) {
                return ControlFlow::Break(
                    ExpressionError::new(bytes(self.text, span), format!("no column {name}"))
                        .help(other_names(&name, columns)),
                );
            }
            self.refer(&name);
        } else {
            self.refer(&first.value);
        }
        let spans = names.iter().map(|name| name.span);
        self.names.push(Name {
            parts: names.iter().map(|name| name.value.clone()).collect(),
            span: bytes(self.text, Span::union_iter(spans)),
        });
        ControlFlow::Continue(())
    }

    pub(super) fn refer(&mut self, name: &str) {
        if !self.references.iter().any(|known| known == name) {
            self.references.push(name.to_owned());
        }
    }

    pub(super) fn function(&self, function: &Function) -> Checked {
        let written = function.name.to_string();
        // Names of functions are case-insensitive, as in DataFusion's planner.
        let name = written.to_lowercase();
        let span = function.name.span();
        if let Some(reason) = refusal(&name) {
            return ControlFlow::Break(
                ExpressionError::new(
                    bytes(self.text, span),
                    format!("{name} is not allowed here"),
                )
                .help(reason),
            );
        }
        if self.registry.function(&name).is_none() && name != "make_map" {
            let error =
                ExpressionError::new(bytes(self.text, span), format!("no function {written}"));
            return ControlFlow::Break(match nearest(&name, self.registry.names()) {
                Some(meant) => error.help(format!("did you mean {meant}?")),
                None => error.help("syncline list shows the functions"),
            });
        }
        let plain = match &function.args {
            FunctionArguments::None => true,
            FunctionArguments::Subquery(_) => false,
            FunctionArguments::List(list) => {
                list.duplicate_treatment.is_none()
                    && list.clauses.is_empty()
                    && list.args.len() == arguments(function).len()
            }
        };
        let bare = function.over.is_none()
            && function.filter.is_none()
            && function.null_treatment.is_none()
            && function.within_group.is_empty()
            && function.parameters == FunctionArguments::None;
        if !plain || !bare {
            return self.refuse(span, format!("{name} takes positional arguments only"));
        }
        ControlFlow::Continue(())
    }
}
