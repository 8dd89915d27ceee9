//! faer's products, for `benches/matmul`.

#[path = "../../matmul/case.rs"]
mod case;
#[path = "../../matmul/measure.rs"]
mod measure;

use std::sync::Arc;

use case::{Case, Data};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use measure::{Approach, Product, written};

fn main() -> std::io::Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut approaches = Vec::new();
    for (threads, par) in [(1, Par::Seq), (threads, Par::rayon(0))] {
        approaches.push(converted(threads, par));
        approaches.push(own_layout(threads, par));
        approaches.push(views(threads, par));
    }
    if threads == 1 {
        approaches.truncate(3);
    }
    measure::serve(approaches)
}

fn approach(name: &str, threads: usize, prepare: impl Fn(&Arc<Data>) -> Box<dyn Product> + 'static) -> Approach {
    Approach { name: name.to_owned(), threads, one_token: false, prepare: Box::new(prepare) }
}

/// Weights and inputs become faer's matrices, stored by columns, and the product is taken back, each time.
fn converted(threads: usize, par: Par) -> Approach {
    approach("faer, converted each time", threads, move |data| {
        let data = Arc::clone(data);
        written(data.case, move |copy, out| {
            let Case { inputs, outputs, tokens, .. } = data.case;
            let x = MatRef::from_row_major_slice(&data.x, tokens, inputs).to_owned();
            let weights = MatRef::from_row_major_slice(&data.weights[copy], inputs, outputs).to_owned();
            let mut product = Mat::zeros(tokens, outputs);
            matmul(product.as_mut(), Accum::Replace, x.as_ref(), weights.as_ref(), 1.0, par);
            MatMut::from_row_major_slice_mut(out, tokens, outputs).copy_from(&product);
        })
    })
}

/// Everything is held in faer's matrices.
fn own_layout(threads: usize, par: Par) -> Approach {
    approach("faer, kept in its layout", threads, move |data| {
        let Case { inputs, outputs, tokens, .. } = data.case;
        let matrix = |weights: &Vec<f32>| MatRef::from_row_major_slice(weights, inputs, outputs).to_owned();
        Box::new(Kept {
            x: MatRef::from_row_major_slice(&data.x, tokens, inputs).to_owned(),
            weights: data.weights.iter().map(matrix).collect(),
            out: Mat::zeros(tokens, outputs),
            par,
        })
    })
}

struct Kept {
    x: Mat<f32>,
    weights: Vec<Mat<f32>>,
    out: Mat<f32>,
    par: Par,
}

impl Product for Kept {
    fn run(&mut self, copy: usize) {
        matmul(self.out.as_mut(), Accum::Replace, self.x.as_ref(), self.weights[copy].as_ref(), 1.0, self.par);
    }

    fn output(&self) -> Vec<f32> {
        (0..self.out.nrows()).flat_map(|i| (0..self.out.ncols()).map(move |j| self.out[(i, j)])).collect()
    }
}

/// Row-major memory as it lies, seen through strides.
fn views(threads: usize, par: Par) -> Approach {
    approach("faer, row-major views", threads, move |data| {
        let data = Arc::clone(data);
        written(data.case, move |copy, out| {
            let Case { inputs, outputs, tokens, .. } = data.case;
            let x = MatRef::from_row_major_slice(&data.x, tokens, inputs);
            let weights = MatRef::from_row_major_slice(&data.weights[copy], inputs, outputs);
            let out = MatMut::from_row_major_slice_mut(out, tokens, outputs);
            matmul(out, Accum::Replace, x, weights, 1.0, par);
        })
    })
}
