//! From text to a tree with places. The grammar is CEL's, and this is the one module that names its crate; what CEL has and
//! rules have not is kept as such, so that it is refused by name.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not told apart here is one case, whatever is added"
)]

use super::mistake::{Mistake, What};
use super::slip;
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};
use cel::parser::Parser;
use std::ops::Range;

/// The longest condition, in bytes.
pub(super) const SOURCE_MAX: usize = 4096;
/// How deep brackets may nest.
const DEPTH_MAX: u16 = 24;

/// A part of a condition and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tree {
    pub(super) span: Range<usize>,
    pub(super) form: Form,
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Order {
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Order {
    pub(super) const fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::More => left > right,
            Self::AtLeast => left >= right,
        }
    }
}

/// What is done with two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sum {
    Plus,
    Minus,
    Times,
}

/// What a part of a condition is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Form {
    Flag(bool),
    Number(i64),
    Text(String),
    /// A name with its dots.
    Name(String),
    Has(Box<Tree>),
    Not(Box<Tree>),
    All(Vec<Tree>),
    Any(Vec<Tree>),
    If(Box<[Tree; 3]>),
    Compare(Order, Box<[Tree; 2]>),
    Equal(Box<[Tree; 2]>),
    Differ(Box<[Tree; 2]>),
    In(Box<[Tree; 2]>),
    Sum(Sum, Box<[Tree; 2]>),
    Negate(Box<Tree>),
    List(Vec<Tree>),
    Call(String, Option<Box<Tree>>, Vec<Tree>),
    /// Something of CEL that rules have not.
    Strange(String),
}

/// Reads a condition.
///
/// # Errors
/// Where it is no CEL: the slips that people make, else the place that the parser names.
pub(super) fn parse(source: &str) -> Result<Tree, Vec<Mistake>> {
    if source.trim().is_empty() {
        return Err(vec![Mistake::new(0..source.len(), What::Empty)]);
    }
    if source.len() > SOURCE_MAX {
        return Err(vec![Mistake::new(0..source.len(), What::TooLong(source.len()))]);
    }
    let slips = slip::find(source);
    if !slips.is_empty() {
        return Err(slips);
    }
    let parser = Parser::new().max_recursion_depth(DEPTH_MAX).error_recovery_limit(4);
    match parser.parse_with_source_info(source) {
        Ok((root, places)) => Ok(Reader { source, places: &places }.tree(root)),
        Err(errors) => {
            let first = errors.errors.first();
            let (line, column) = first.map_or((1, 1), |error| error.pos);
            let says = |word| first.is_some_and(|error| error.msg.contains(word));
            let at = place(source, line, column);
            let what = if says("recursion") {
                What::TooDeep
            } else if says("has()") {
                What::HasOf
            } else {
                slip::unexpected(source, at)
            };
            let end = source.get(at..).and_then(|rest| rest.chars().next());
            let end = at.saturating_add(end.map_or(0, char::len_utf8));
            Err(vec![Mistake::new(at..end, what)])
        }
    }
}

/// The byte at a line and column, both from one, as the parser counts.
fn place(source: &str, line: isize, column: isize) -> usize {
    let before = usize::try_from(line.saturating_sub(1)).unwrap_or_default();
    let start: usize = source.split_inclusive('\n').take(before).map(str::len).sum();
    let column = usize::try_from(column.saturating_sub(1)).unwrap_or_default();
    let rest = source.get(start..).unwrap_or_default();
    let within = rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at);
    start.saturating_add(within)
}

/// Turns the parser's tree into ours.
struct Reader<'a> {
    source: &'a str,
    places: &'a SourceInfo,
}

impl Reader<'_> {
    fn tree(&self, node: IdedExpr) -> Tree {
        let own = self.place(node.id);
        match node.expr {
            Expr::Literal(value) => self.literal(value, own),
            Expr::Ident(name) => Tree { span: own, form: Form::Name(name) },
            Expr::Select(select) => {
                let operand = self.tree(*select.operand);
                let after = self.source.get(own.end..).unwrap_or_default();
                let blank = after.len().saturating_sub(after.trim_start().len());
                let end = own.end.saturating_add(blank).saturating_add(select.field.len());
                if select.test {
                    // Its own place is that of the bracket after `has`.
                    let field = self.source.get(operand.span.end..).unwrap_or_default();
                    let found = field.find(select.field.as_str()).unwrap_or_default();
                    let end = operand.span.end.saturating_add(found);
                    let name = operand.span.start..end.saturating_add(select.field.len());
                    let inner = joined(operand.form, &select.field);
                    let inner = Tree { span: name, form: inner };
                    let span = self.call(own, inner.span.end, "has".len());
                    return Tree { span, form: Form::Has(Box::new(inner)) };
                }
                let whole = operand.span.start..end;
                Tree { span: whole, form: joined(operand.form, &select.field) }
            }
            Expr::Call(call) => self.called(call, own),
            Expr::List(list) => {
                let members: Vec<Tree> =
                    list.elements.into_iter().map(|member| self.tree(member)).collect();
                let end = members.last().map_or(own.end, |member| member.span.end);
                let span = own.start..self.close(end, ']');
                Tree { span, form: Form::List(members) }
            }
            Expr::Comprehension(_) => strange("exists(), all(), map(), filter()", own),
            Expr::Map(_) | Expr::Struct(_) => strange("{…}", own),
            Expr::Unspecified => strange("", own),
        }
    }

    fn literal(&self, value: LiteralValue, span: Range<usize>) -> Tree {
        let form = match value {
            LiteralValue::Boolean(flag) => Form::Flag(*flag.inner()),
            LiteralValue::Int(number) => Form::Number(*number.inner()),
            LiteralValue::String(text) => Form::Text(text.inner().to_owned()),
            LiteralValue::UInt(_) | LiteralValue::Double(_) => {
                let text = self.source.get(span.clone()).unwrap_or_default();
                Form::Strange(text.to_owned())
            }
            LiteralValue::Bytes(_) => Form::Strange("b\"…\"".to_owned()),
            LiteralValue::Null => Form::Strange("null".to_owned()),
        };
        Tree { span, form }
    }

    fn called(&self, call: CallExpr, own: Range<usize>) -> Tree {
        let CallExpr { func_name, target, args } = call;
        let on = target.map(|target| Box::new(self.tree(*target)));
        let args: Vec<Tree> = args.into_iter().map(|arg| self.tree(arg)).collect();
        let first = args.first().map_or(own.start, |arg| arg.span.start);
        let last = args.last().map_or(own.end, |arg| arg.span.end);
        let span = self.balanced(first.min(own.start)..last.max(own.end));
        let form = match (func_name.as_str(), args.len()) {
            (operators::LOGICAL_AND, _) => Form::All(flat(args, |form| match form {
                Form::All(parts) => Ok(parts),
                other => Err(other),
            })),
            (operators::LOGICAL_OR, _) => Form::Any(flat(args, |form| match form {
                Form::Any(parts) => Ok(parts),
                other => Err(other),
            })),
            (operators::LOGICAL_NOT | operators::NEGATE, 1) => {
                let Some(arg) = args.into_iter().next() else {
                    return strange(&func_name, own);
                };
                let arg = Box::new(arg);
                if func_name == operators::NEGATE { Form::Negate(arg) } else { Form::Not(arg) }
            }
            (operators::CONDITIONAL, 3) => match <[Tree; 3]>::try_from(args) {
                Ok(parts) => Form::If(Box::new(parts)),
                Err(_) => return strange("?:", own),
            },
            (operators::INDEX, _) => return strange("[…]", span),
            (operators::DIVIDE, _) => return strange("/", span),
            (operators::MODULO, _) => return strange("%", span),
            (operator, 2) if operator.contains('_') || operator == operators::IN => {
                match <[Tree; 2]>::try_from(args) {
                    Ok(pair) => match between(operator, pair) {
                        Some(form) => form,
                        None => return strange(operator, span),
                    },
                    Err(_) => return strange(operator, span),
                }
            }
            (name, _) => {
                // The place is that of the bracket, the name before it.
                let span = match &on {
                    Some(on) => on.span.start..self.close(last, ')'),
                    None => self.call(own, last, name.len()),
                };
                return Tree { span, form: Form::Call(func_name, on, args) };
            }
        };
        Tree { span, form }
    }

    /// A call of a function whose name has `length` bytes and whose bracket stands at `bracket`.
    fn call(&self, bracket: Range<usize>, last: usize, length: usize) -> Range<usize> {
        let before = self.source.get(..bracket.start).unwrap_or_default();
        before.trim_end().len().saturating_sub(length)..self.close(last, ')')
    }

    /// After the bracket that closes what ends at `last`.
    fn close(&self, last: usize, bracket: char) -> usize {
        let rest = self.source.get(last..).unwrap_or_default();
        let found = rest.find(bracket).map(|at| at.saturating_add(1));
        last.saturating_add(found.unwrap_or_default())
    }

    /// The span with the round brackets that belong to it: those around a part are no part of the tree.
    fn balanced(&self, span: Range<usize>) -> Range<usize> {
        let Range { mut start, mut end } = span;
        let (missing, open) = slip::brackets(self.source.get(start..end).unwrap_or_default());
        for _ in 0..missing {
            let before = self.source.get(..start).unwrap_or_default();
            start = before.rfind('(').unwrap_or(start);
        }
        for _ in 0..open {
            end = self.close(end, ')');
        }
        start..end
    }

    /// The bytes of a node's token.
    fn place(&self, id: u64) -> Range<usize> {
        let (start, stop) = self.places.offset_for(id).unwrap_or_default();
        // The parser counts bytes, and names the last one.
        let byte = |at: u32| {
            let at = usize::try_from(at).unwrap_or_default();
            self.source.ceil_char_boundary(at.min(self.source.len()))
        };
        byte(start)..byte(stop.saturating_add(1))
    }
}

fn strange(what: &str, span: Range<usize>) -> Tree {
    Tree { span, form: Form::Strange(what.to_owned()) }
}

fn between(operator: &str, pair: [Tree; 2]) -> Option<Form> {
    let pair = Box::new(pair);
    Some(match operator {
        operators::EQUALS => Form::Equal(pair),
        operators::NOT_EQUALS => Form::Differ(pair),
        operators::LESS => Form::Compare(Order::Less, pair),
        operators::LESS_EQUALS => Form::Compare(Order::AtMost, pair),
        operators::GREATER => Form::Compare(Order::More, pair),
        operators::GREATER_EQUALS => Form::Compare(Order::AtLeast, pair),
        operators::IN => Form::In(pair),
        operators::ADD => Form::Sum(Sum::Plus, pair),
        operators::SUBSTRACT => Form::Sum(Sum::Minus, pair),
        operators::MULTIPLY => Form::Sum(Sum::Times, pair),
        _ => return None,
    })
}

/// A chain of one operator as one list: the parser makes a tree of it.
fn flat(args: Vec<Tree>, parts: fn(Form) -> Result<Vec<Tree>, Form>) -> Vec<Tree> {
    let mut all = Vec::new();
    for Tree { span, form } in args {
        match parts(form) {
            Ok(parts) => all.extend(parts),
            Err(form) => all.push(Tree { span, form }),
        }
    }
    all
}

fn joined(operand: Form, field: &str) -> Form {
    match operand {
        Form::Name(name) => Form::Name(format!("{name}.{field}")),
        Form::Flag(_)
        | Form::Number(_)
        | Form::Text(_)
        | Form::Has(_)
        | Form::Not(_)
        | Form::All(_)
        | Form::Any(_)
        | Form::If(_)
        | Form::Compare(..)
        | Form::Equal(_)
        | Form::Differ(_)
        | Form::In(_)
        | Form::Sum(..)
        | Form::Negate(_)
        | Form::List(_)
        | Form::Call(..)
        | Form::Strange(_) => Form::Strange(format!(".{field}")),
    }
}
