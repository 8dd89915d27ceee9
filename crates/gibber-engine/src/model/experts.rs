//! A feed-forward part of experts (Shazeer et al. 2017): a router chooses a few for each token.

mod router;

use super::buffer::sized;
use super::dense::{Dense, DenseBuffers};
use super::feed_forward_config::ExpertsConfig;
use super::linear::{Group, Norm};
use super::tensors::Slot;
use crate::EngineError;
use crate::kernels::matrix::MAX_TOKENS_ONE_BY_ONE;
use crate::kernels::{Share, Workspace, multiply_each, vector};
use router::{Route, Router, RouterBuffers};

/// Rows that the experts compute at a time in a short pass; in a longer one as many as it has tokens.
const ROWS: usize = 256;

/// The experts of a layer, and who chooses among them.
#[derive(Debug)]
pub(super) struct Experts {
    router: Router,
    experts: Vec<Dense>,
    shared: Option<Shared>,
    apart: Option<Apart>,
}

/// An expert that every token goes through.
#[derive(Debug)]
struct Shared {
    dense: Dense,
    /// The sigmoid of its product with the token is what the output is multiplied with, `(n_embd)`.
    gate: Option<Vec<f32>>,
}

/// The norms of what reads the residual stream otherwise than the shared expert does, and of what either makes.
#[derive(Debug)]
struct Apart {
    router: Norm,
    read: Norm,
    shared_made: Norm,
    made: Norm,
}

/// The rows of one expert in a batch.
#[derive(Debug, Clone, Copy)]
struct Work {
    expert: usize,
    first: usize,
    rows: usize,
}

/// What the experts compute in.
#[derive(Debug, Default)]
pub(super) struct ExpertBuffers {
    router: RouterBuffers,
    /// What the experts of a batch read, a row for each of their tokens.
    read: Vec<f32>,
    /// What they make of it.
    made: Vec<f32>,
    /// The experts with few rows, which are computed together, and those with many.
    few: Vec<Work>,
    many: Vec<Work>,
    /// Tokens of a batch, each with a row of its, in order.
    rows: Vec<(usize, usize)>,
    /// What they read by a norm of their own, and what is made of what the shared one makes, `(n, n_embd)`.
    normed: Vec<f32>,
    shared_made: Vec<f32>,
    /// What all of them make, `(n, n_embd)`.
    pub(super) sum: Vec<f32>,
}

impl Experts {
    /// The experts that `config` describes, of the tensors in `group`.
    pub(super) fn load(embd: usize, config: ExpertsConfig, group: &Group<'_>) -> Result<Self, EngineError> {
        let slots = [Slot::FeedForwardIn, Slot::FeedForwardOut];
        let expert = |index| Dense::load(embd, config.expert, &group.of_expert(index), slots);
        let shared = config.shared.map(|shared| {
            Ok::<_, EngineError>(Shared {
                dense: Dense::load(embd, shared.dense, group, [Slot::SharedExpertIn, Slot::SharedExpertOut])?,
                gate: shared.is_gated.then(|| group.vector(Slot::SharedExpertGate)).transpose()?,
            })
        });
        Ok(Self {
            router: Router::load(embd, &config, group)?,
            experts: (0..config.n_expert).map(expert).collect::<Result<_, _>>()?,
            shared: shared.transpose()?,
            apart: config.has_norms.then(|| Apart::load(embd, group)).transpose()?,
        })
    }

    /// Bytes of weights that one token has to read.
    pub(super) fn bytes(&self) -> usize {
        let all: usize = self.experts.iter().map(Dense::bytes).sum();
        let chosen = all / self.experts.len().max(1) * self.router.n_used();
        self.router.bytes() + chosen + self.shared.as_ref().map_or(0, |shared| shared.dense.bytes())
    }

    /// What the experts make of the `n` rows of `x`, which are those of `residual` normalized, in `buffers.sum`.
    ///
    /// The tokens of an expert are computed together. What a token adds up does not depend on its company: its experts come in
    /// the order of their numbers.
    pub(super) fn forward(
        &self,
        workspace: &mut Workspace,
        x: &[f32],
        residual: &[f32],
        n: usize,
        buffers: &mut ExpertBuffers,
        dense: &mut DenseBuffers,
    ) {
        let width = self.router.in_features();
        let sum = sized(&mut buffers.sum, n, width);
        match &self.shared {
            Some(shared) => shared.forward(workspace, x, n, dense, sum),
            None => sum.fill(0.0),
        }
        let Some(apart) = &self.apart else {
            self.router.route(workspace, x, n, &mut buffers.router);
            return self.chosen(workspace, x, n, buffers, dense);
        };
        apart.shared_made.apply(workspace, &buffers.sum, sized(&mut buffers.shared_made, n, width));
        buffers.sum.fill(0.0);
        let mut normed = std::mem::take(&mut buffers.normed);
        let rows = sized(&mut normed, n, width);
        apart.router.apply(workspace, residual, rows);
        self.router.route(workspace, rows, n, &mut buffers.router);
        apart.read.apply(workspace, residual, rows);
        self.chosen(workspace, rows, n, buffers, dense);
        apart.made.apply(workspace, &buffers.sum, rows);
        vector::add(rows, &buffers.shared_made);
        buffers.sum.copy_from_slice(rows);
        buffers.normed = normed;
    }

    /// Adds to `buffers.sum` what the chosen experts make of the `n` rows of `x`.
    fn chosen(
        &self,
        workspace: &mut Workspace,
        x: &[f32],
        n: usize,
        buffers: &mut ExpertBuffers,
        dense: &mut DenseBuffers,
    ) {
        let routes = std::mem::take(&mut buffers.router.routes);
        let mut rest = &routes[..];
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(batch_len(rest, n.max(ROWS)));
            self.batch(workspace, x, batch, buffers, dense);
            rest = later;
        }
        buffers.router.routes = routes;
    }

    /// Adds to `buffers.sum` what some experts make of their tokens.
    fn batch(
        &self,
        workspace: &mut Workspace,
        x: &[f32],
        routes: &[Route],
        buffers: &mut ExpertBuffers,
        dense: &mut DenseBuffers,
    ) {
        let width = self.router.in_features();
        let ExpertBuffers { read, made, few, many, rows, sum, .. } = buffers;
        // A token alone is what all of its experts read.
        let is_alone = x.len() == width;
        let read = if is_alone { x } else { gathered(workspace, x, width, routes, read) };
        share_out(routes, few, many);
        self.enter(workspace, read, is_alone, routes, (few, many), dense);
        let made = sized(made, routes.len(), width);
        self.multiply(workspace, &dense.inner, false, (few, many), Dense::leave, made);
        let add = |row: usize, sum: &mut [f32]| {
            let Route { expert, weight, .. } = routes[row];
            vector::axpy(weight, &made[row * width..][..width], sum);
            if let Some(bias) = self.experts[expert].leave().bias() {
                vector::axpy(weight, bias, sum);
            }
        };
        if is_alone {
            return (0..routes.len()).for_each(|row| add(row, sum));
        }
        rows.clear();
        rows.extend(routes.iter().enumerate().map(|(row, route)| (route.token, row)));
        rows.sort_unstable();
        let rows = &*rows;
        workspace.pool().for_each_part(sum, width, &|_, token, sum| {
            let first = rows.partition_point(|&(of, _)| of < token);
            rows[first..].iter().take_while(|&&(of, _)| of == token).for_each(|&(_, row)| add(row, sum));
        });
    }

    /// The first step of the experts, and the activations: what stands between the steps, in `dense.inner`.
    fn enter(
        &self,
        workspace: &mut Workspace,
        read: &[f32],
        is_alone: bool,
        routes: &[Route],
        work: (&[Work], &[Work]),
        dense: &mut DenseBuffers,
    ) {
        let Some(first) = self.experts.first() else { return };
        let (width, n_ff) = (first.enter().weight.out_features(), first.leave().weight.in_features());
        let entered = sized(&mut dense.entered, routes.len(), width);
        self.multiply(workspace, read, is_alone, work, Dense::enter, entered);
        let pool = workspace.pool();
        if first.enter().bias().is_some() {
            pool.for_each_part(entered, width, &|_, row, entered| {
                let bias = self.experts[routes[row].expert].enter().bias();
                bias.into_iter().for_each(|bias| vector::add(entered, bias));
            });
        }
        let (entered, inner) = (&*entered, sized(&mut dense.inner, routes.len(), n_ff));
        pool.for_each_part(inner, n_ff, &|_, row, inner| {
            self.experts[routes[row].expert].activate(&entered[row * width..][..width], inner);
        });
    }

    /// The products of one step: of the experts with few rows as one operation, of each other by itself. Where `is_alone`, all
    /// read the one row of `x`.
    fn multiply(
        &self,
        workspace: &mut Workspace,
        x: &[f32],
        is_alone: bool,
        (few, many): (&[Work], &[Work]),
        step: fn(&Dense) -> &super::linear::Linear,
        out: &mut [f32],
    ) {
        let matrix = |expert: usize| &step(&self.experts[expert]).weight;
        for &Work { expert, first, rows } in many {
            let matrix = matrix(expert);
            let (k, width) = (matrix.in_features(), matrix.out_features());
            matrix.multiply(workspace, &x[first * k..][..rows * k], rows, &mut out[first * width..][..rows * width]);
        }
        let share = |index: usize| {
            let Work { expert, first, rows } = few[index];
            let inputs = if is_alone { 0..1 } else { first..first + rows };
            Share { matrix: matrix(expert), inputs, first }
        };
        multiply_each(workspace, x, few.len(), &share, out);
    }
}

impl Apart {
    fn load(embd: usize, group: &Group<'_>) -> Result<Self, EngineError> {
        Ok(Self {
            router: group.norm(Slot::RouterNorm)?.scaled((embd as f32).sqrt().recip()),
            read: group.norm(Slot::ExpertsNorm)?,
            shared_made: group.norm(Slot::SharedExpertPostNorm)?,
            made: group.norm(Slot::ExpertsPostNorm)?,
        })
    }
}

impl Shared {
    /// What it makes of the `n` rows of `x`.
    fn forward(&self, workspace: &mut Workspace, x: &[f32], n: usize, buffers: &mut DenseBuffers, out: &mut [f32]) {
        let inner = self.dense.inner(workspace, x, n, buffers);
        self.dense.leave().apply(workspace, inner, n, out);
        if let Some(gate) = &self.gate {
            workspace.pool().for_each_part(out, gate.len(), &|_, token, out| {
                let product = vector::dot(&x[token * gate.len()..][..gate.len()], gate);
                vector::scale(out, router::sigmoid(product));
            });
        }
    }
}

/// How many of `routes` are computed at a time: whole experts, at most `limit` of them but for the first.
fn batch_len(routes: &[Route], limit: usize) -> usize {
    let mut len = 0;
    for expert in routes.chunk_by(|a, b| a.expert == b.expert) {
        if len > 0 && len + expert.len() > limit {
            break;
        }
        len += expert.len();
    }
    len
}

/// The rows of `x` that `routes` are of, one after another in `read`.
fn gathered<'a>(workspace: &Workspace, x: &[f32], width: usize, routes: &[Route], read: &'a mut Vec<f32>) -> &'a [f32] {
    let read = sized(read, routes.len(), width);
    workspace.pool().for_each_part(read, width, &|_, row, out| {
        out.copy_from_slice(&x[routes[row].token * width..][..width]);
    });
    read
}

/// The experts of `routes`, by how many rows they have.
fn share_out(routes: &[Route], few: &mut Vec<Work>, many: &mut Vec<Work>) {
    few.clear();
    many.clear();
    let mut first = 0;
    for routes in routes.chunk_by(|a, b| a.expert == b.expert) {
        let rows = routes.len();
        let work = if rows <= MAX_TOKENS_ONE_BY_ONE { &mut *few } else { &mut *many };
        work.push(Work { expert: routes[0].expert, first, rows });
        first += rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(experts: &[usize]) -> Vec<Route> {
        experts.iter().enumerate().map(|(token, &expert)| Route { expert, token, weight: 1.0 }).collect()
    }

    #[test]
    fn a_batch_has_whole_experts_and_at_least_one() {
        let routes = routes(&[0, 0, 0, 1, 1, 4]);
        assert_eq!([1, 3, 4, 5, 6].map(|limit| batch_len(&routes, limit)), [3, 3, 3, 5, 6]);
    }

    #[test]
    fn experts_with_many_rows_are_told_from_those_with_few() {
        let (mut few, mut many) = (Vec::new(), Vec::new());
        share_out(&routes(&[vec![2; 3], vec![5; 17], vec![7; 16]].concat()), &mut few, &mut many);
        let of = |work: &[Work]| work.iter().map(|work| (work.expert, work.first, work.rows)).collect::<Vec<_>>();
        assert_eq!((of(&few), of(&many)), (vec![(2, 0, 3), (7, 20, 16)], vec![(5, 3, 17)]));
    }
}
