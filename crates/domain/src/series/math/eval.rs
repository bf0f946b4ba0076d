//! Evaluating queries in the order in which they need each other, and
//! operators over numbers and series.

use super::functions;
use super::parse::{Expr, Operator, parse};
use super::{Fetch, MathError, Query, Series, Source, Value};
use crate::time::{Span, Time};
use std::collections::BTreeMap;

/// Points in an array, so that one that names the same series many times
/// does not take much memory.
const ARRAY_POINTS_MAX: usize = 200_000;

/// What an expression is evaluated in.
pub(super) struct Context<'a> {
    pub queries: &'a [Query],
    /// The values of queries that are known so far.
    pub values: &'a [Option<Value>],
    /// The range that is asked for.
    pub range: (Time, Time),
}

impl Context<'_> {
    pub fn index(&self, id: &str) -> Option<usize> {
        self.queries.iter().position(|query| query.id == id)
    }

    /// The starts of all periods of a length in the range.
    pub fn grid(&self, period: Span) -> impl Iterator<Item = Time> + use<> {
        let ((start, end), period) = (self.range, period.max(Span(1)));
        std::iter::successors(Some(start), move |at| Some(*at + period)).take_while(move |at| *at < end)
    }

    /// The longest period of the metrics.
    pub fn period(&self) -> Span {
        super::stats(self.queries).map(|stat| stat.period).max().unwrap_or(Span::from_mins(1))
    }
}

pub(super) fn evaluate(queries: &[Query], range: (Time, Time), fetch: &Fetch<'_>) -> Result<Vec<Value>, MathError> {
    let mut values: Vec<Option<Value>> = vec![None; queries.len()];
    let mut waiting = Vec::new();
    for (index, query) in queries.iter().enumerate() {
        match &query.source {
            Source::Stat(stat) => {
                let points = fetch(stat).into_iter().collect();
                let series = Series { id: query.id.clone(), label: query.label.clone(), period: stat.period, points };
                values[index] = Some(Value::Series(series));
            }
            Source::Expression(text) => {
                let expr = parse(text).map_err(|what| MathError::Syntax(query.id.clone(), what))?;
                waiting.push((index, expr));
            }
        }
    }
    // Each turn evaluates every expression whose operands are known: at least
    // one, unless they go round in a circle.
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut left = Vec::new();
        for (index, expr) in waiting {
            let context = Context { queries, values: &values, range };
            let fail = |what| MathError::Meaning(queries[index].id.clone(), what);
            if !ready(&expr, &context).map_err(fail)? {
                left.push((index, expr));
                continue;
            }
            let value = context.value(&expr).map_err(fail)?;
            values[index] = Some(named(value, &queries[index]));
        }
        if left.len() == before {
            return Err(MathError::Circle(queries[left[0].0].id.clone()));
        }
        waiting = left;
    }
    Ok(values.into_iter().flatten().collect())
}

fn ready(expr: &Expr, context: &Context<'_>) -> Result<bool, String> {
    let mut ids = Vec::new();
    expr.ids(&mut ids);
    let mut all = true;
    for id in ids {
        let index = context.index(id).ok_or_else(|| format!("there is no query with the id {id}"))?;
        all &= context.values[index].is_some();
    }
    Ok(all)
}

/// A single series that an expression makes goes by the expression's id.
fn named(value: Value, query: &Query) -> Value {
    match value {
        Value::Series(series) => Value::Series(Series { id: query.id.clone(), label: query.label.clone(), ..series }),
        Value::Scalar(_) | Value::Array(_) => value,
    }
}

impl Context<'_> {
    pub fn value(&self, expr: &Expr) -> Result<Value, String> {
        match expr {
            Expr::Number(number) => Ok(Value::Scalar(*number)),
            Expr::Text(text) => Err(format!("the text \"{text}\" is not expected here")),
            Expr::Word(word) => Err(format!("the word {word} is not expected here")),
            Expr::Id(id) => {
                let value = self.index(id).and_then(|index| self.values[index].clone());
                value.ok_or_else(|| format!("there is no query with the id {id}"))
            }
            Expr::Array(items) => {
                let mut all = Vec::new();
                for item in items {
                    match self.value(item)? {
                        Value::Series(series) => all.push(series),
                        Value::Array(more) => all.extend(more),
                        Value::Scalar(_) => return Err("an array holds time series only".to_owned()),
                    }
                    if all.iter().map(|series| series.points.len()).sum::<usize>() > ARRAY_POINTS_MAX {
                        return Err(format!("an array may hold at most {ARRAY_POINTS_MAX} datapoints"));
                    }
                }
                Ok(Value::Array(all))
            }
            Expr::Negate(operand) => map(self.value(operand)?, &|number| -number),
            Expr::Binary(operator, left, right) => binary(*operator, self.value(left)?, self.value(right)?),
            Expr::Call(name, arguments) => functions::call(self, name, arguments),
        }
    }
}

/// A function over every value. What is not finite is left out.
pub(super) fn map(value: Value, function: &dyn Fn(f64) -> f64) -> Result<Value, String> {
    let each = |series: Series| Series {
        points: series.points.iter().map(|(at, number)| (*at, function(*number))).filter(finite).collect(),
        ..series
    };
    Ok(match value {
        Value::Scalar(number) => Value::Scalar(function(number)),
        Value::Series(series) => Value::Series(each(series)),
        Value::Array(all) => Value::Array(all.into_iter().map(each).collect()),
    })
}

pub(super) fn finite(point: &(Time, f64)) -> bool {
    point.1.is_finite()
}

fn binary(operator: Operator, left: Value, right: Value) -> Result<Value, String> {
    let apply = |a: f64, b: f64| operate(operator, a, b);
    match (left, right) {
        (left, Value::Scalar(b)) => map(left, &|a| apply(a, b)),
        (Value::Scalar(a), right) => map(right, &|b| apply(a, b)),
        (Value::Series(a), Value::Series(b)) => Ok(Value::Series(join(a, &b, &apply))),
        (Value::Array(all), Value::Series(b)) => {
            Ok(Value::Array(all.into_iter().map(|a| join(a, &b, &apply)).collect()))
        }
        (Value::Series(a), Value::Array(all)) => {
            let one = |b: &Series| Series { id: b.id.clone(), label: b.label.clone(), ..join(a.clone(), b, &apply) };
            Ok(Value::Array(all.iter().map(one).collect()))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            Ok(Value::Array(a.into_iter().zip(&b).map(|(a, b)| join(a, b, &apply)).collect()))
        }
        (Value::Array(_), Value::Array(_)) => Err("arrays of different lengths cannot be combined".to_owned()),
    }
}

/// Two series point by point; a point that only one of them has counts as 0
/// in the other. What is not finite, such as a division by zero, is left out.
fn join(left: Series, right: &Series, apply: &dyn Fn(f64, f64) -> f64) -> Series {
    let times = left.points.keys().chain(right.points.keys());
    let value = |points: &BTreeMap<Time, f64>, at: &Time| points.get(at).copied().unwrap_or(0.0);
    let points = times.map(|at| (*at, apply(value(&left.points, at), value(&right.points, at)))).filter(finite);
    Series { points: points.collect(), period: left.period.max(right.period), ..left }
}

fn operate(operator: Operator, a: f64, b: f64) -> f64 {
    let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
    match operator {
        Operator::Or => truth(a != 0.0 || b != 0.0),
        Operator::And => truth(a != 0.0 && b != 0.0),
        Operator::Equal => truth(a == b),
        Operator::NotEqual => truth(a != b),
        Operator::Less => truth(a < b),
        Operator::LessOrEqual => truth(a <= b),
        Operator::Greater => truth(a > b),
        Operator::GreaterOrEqual => truth(a >= b),
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::Power => a.powf(b),
    }
}
