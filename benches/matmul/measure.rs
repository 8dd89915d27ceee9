//! How approaches are timed, here or in a process that is asked line by line:
//!
//! | asked on stdin | answered on stdout |
//! |---|---|
//! | | at the start, a line an approach: `THREADS ONE_TOKEN NAME`; then `ready` |
//! | `case INPUTS OUTPUTS TOKENS COPIES` | `ok`, once all approaches give the right numbers; otherwise what is wrong |
//! | `time INDEX` | nanoseconds that the products with all copies took |

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::case::{Case, Data};

/// One way to multiply.
pub struct Approach {
    pub name: String,
    pub threads: usize,
    /// Whether it multiplies one token only.
    pub one_token: bool,
    pub prepare: Prepare,
}

/// Brings the weights of a case into the form that an approach needs.
pub type Prepare = Box<dyn Fn(&Arc<Data>) -> Box<dyn Product>>;

/// An approach that has the weights of a case in the form it needs.
pub trait Product {
    /// Multiplies with one copy of the weights.
    fn run(&mut self, copy: usize);
    /// The last product, `(tokens, outputs)` row-major.
    fn output(&self) -> Vec<f32>;
    /// What [`Data::check`] is to compare with instead of the case's weights, and the error that is allowed.
    fn exact(&self) -> (Option<Vec<f32>>, f64) {
        (None, 1e-5)
    }
}

/// A product that writes `(tokens, outputs)` by itself.
struct Written<F> {
    out: Vec<f32>,
    multiply: F,
}

impl<F: FnMut(usize, &mut [f32])> Product for Written<F> {
    fn run(&mut self, copy: usize) {
        (self.multiply)(copy, &mut self.out);
    }

    fn output(&self) -> Vec<f32> {
        self.out.clone()
    }
}

/// `multiply(copy, out)` as a product.
pub fn written(case: Case, multiply: impl FnMut(usize, &mut [f32]) + 'static) -> Box<dyn Product> {
    Box::new(Written { out: vec![f32::NAN; case.tokens * case.outputs], multiply })
}

/// An approach as the table shows it.
#[derive(Debug, Clone)]
pub struct Description {
    pub name: String,
    pub threads: usize,
    pub one_token: bool,
}

/// In this process.
pub struct Local {
    approaches: Vec<Approach>,
    /// Of the case that was taken up; `None` where an approach does not apply to it.
    products: Vec<Option<Box<dyn Product>>>,
    copies: usize,
}

impl Local {
    pub fn new(approaches: Vec<Approach>) -> Self {
        Self { approaches, products: Vec::new(), copies: 0 }
    }

    pub fn approaches(&self) -> Vec<Description> {
        let describe = |a: &Approach| Description { name: a.name.clone(), threads: a.threads, one_token: a.one_token };
        self.approaches.iter().map(describe).collect()
    }

    /// Takes up a case, and checks that each approach gives the right numbers.
    pub fn start(&mut self, case: Case) -> Result<(), String> {
        self.products.clear();
        self.copies = case.copies;
        let data = Arc::new(Data::new(case));
        for approach in &self.approaches {
            let product = (!approach.one_token || case.tokens == 1).then(|| (approach.prepare)(&data));
            self.products.push(product);
            let Some(Some(product)) = self.products.last_mut() else { continue };
            product.run(data.checked_copy());
            let (weights, tolerance) = product.exact();
            data.check(&product.output(), weights.as_deref(), tolerance)
                .map_err(|error| format!("{} computes other numbers at {case}: {error}", approach.name))?;
        }
        Ok(())
    }

    /// One product with each copy of the weights.
    pub fn time(&mut self, approach: usize) -> Result<Duration, String> {
        let Some(Some(product)) = self.products.get_mut(approach) else {
            return Err(format!("there is no approach {approach}"));
        };
        let start = Instant::now();
        (0..self.copies).for_each(|copy| product.run(copy));
        Ok(start.elapsed())
    }
}

/// Answers on stdout what is asked on stdin, until that ends.
pub fn serve(approaches: Vec<Approach>) -> io::Result<()> {
    let mut local = Local::new(approaches);
    let mut stdout = io::stdout().lock();
    for Description { name, threads, one_token } in local.approaches() {
        writeln!(stdout, "{threads} {one_token} {name}")?;
    }
    writeln!(stdout, "ready")?;
    stdout.flush()?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let answer = match line.split_once(' ') {
            Some(("case", case)) => match Case::parse(case) {
                Some(case) => local.start(case).map(|()| "ok".to_owned()),
                None => Err(format!("`{case}` is no case")),
            },
            Some(("time", index)) => match index.parse() {
                Ok(index) => local.time(index).map(|time| time.as_nanos().to_string()),
                Err(_) => Err(format!("`{index}` is no index")),
            },
            _ => Err(format!("`{line}` is no question")),
        };
        writeln!(stdout, "{}", answer.unwrap_or_else(|error| error))?;
        stdout.flush()?;
    }
    Ok(())
}
