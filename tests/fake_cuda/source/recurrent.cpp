// The cells of LSTM and GRU, which torch computes on a GPU by kernels of their own and on a CPU by
// their formulas.
#include <ATen/ATen.h>
#include <torch/library.h>

namespace fake_cuda {
namespace {

using at::Tensor;

Tensor with_bias(const Tensor& gates, const std::optional<Tensor>& bias) {
    return bias && bias->defined() ? gates + *bias : gates;
}

Tensor slope_of_sigmoid(const Tensor& value) { return value * (1 - value); }

Tensor slope_of_tanh(const Tensor& value) { return 1 - value * value; }

std::tuple<Tensor, Tensor, Tensor> lstm_cell(const Tensor& input_gates, const Tensor& hidden_gates,
                                             const Tensor& cx,
                                             const std::optional<Tensor>& input_bias,
                                             const std::optional<Tensor>& hidden_bias) {
    const Tensor gates = with_bias(input_gates, input_bias) + with_bias(hidden_gates, hidden_bias);
    const auto parts = gates.chunk(4, 1);
    const Tensor in = parts[0].sigmoid(), forget = parts[1].sigmoid();
    const Tensor cell = parts[2].tanh(), out = parts[3].sigmoid();
    const Tensor cy = forget * cx + in * cell;
    return {out * cy.tanh(), cy, at::cat({in, forget, cell, out}, 1)};
}

std::tuple<Tensor, Tensor, Tensor> lstm_cell_backward(const std::optional<Tensor>& grad_hy,
                                                      const std::optional<Tensor>& grad_cy,
                                                      const Tensor& cx, const Tensor& cy,
                                                      const Tensor& gates, bool has_bias) {
    const auto parts = gates.chunk(4, 1);
    const Tensor &in = parts[0], &forget = parts[1], &cell = parts[2], &out = parts[3];
    const Tensor of_hy = grad_hy && grad_hy->defined() ? *grad_hy : at::zeros_like(cx);
    Tensor of_cy = of_hy * out * slope_of_tanh(cy.tanh());
    if (grad_cy && grad_cy->defined()) of_cy = of_cy + *grad_cy;
    const Tensor grad_gates =
        at::cat({of_cy * cell * slope_of_sigmoid(in), of_cy * cx * slope_of_sigmoid(forget),
                 of_cy * in * slope_of_tanh(cell), of_hy * cy.tanh() * slope_of_sigmoid(out)},
                1);
    return {grad_gates, of_cy * forget, has_bias ? grad_gates.sum(0) : Tensor()};
}

std::tuple<Tensor, Tensor> gru_cell(const Tensor& input_gates, const Tensor& hidden_gates,
                                    const Tensor& hx, const std::optional<Tensor>& input_bias,
                                    const std::optional<Tensor>& hidden_bias) {
    const auto in = with_bias(input_gates, input_bias).chunk(3, 1);
    const auto hidden = with_bias(hidden_gates, hidden_bias).chunk(3, 1);
    const Tensor reset = (in[0] + hidden[0]).sigmoid(), update = (in[1] + hidden[1]).sigmoid();
    const Tensor fresh = (in[2] + reset * hidden[2]).tanh();
    return {(hx - fresh) * update + fresh, at::cat({reset, update, fresh, hx, hidden[2]}, 1)};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> gru_cell_backward(const Tensor& grad_hy,
                                                                     const Tensor& kept,
                                                                     bool has_bias) {
    const auto parts = kept.chunk(5, 1);
    const Tensor &reset = parts[0], &update = parts[1], &fresh = parts[2], &hx = parts[3];
    const Tensor of_update = grad_hy * (hx - fresh) * slope_of_sigmoid(update);
    const Tensor of_fresh = grad_hy * (1 - update) * slope_of_tanh(fresh);
    const Tensor of_reset = of_fresh * parts[4] * slope_of_sigmoid(reset);
    const Tensor of_input = at::cat({of_reset, of_update, of_fresh}, 1);
    const Tensor of_hidden = at::cat({of_reset, of_update, of_fresh * reset}, 1);
    const auto of_bias = [&](const Tensor& gates) { return has_bias ? gates.sum(0) : Tensor(); };
    return {of_input, of_hidden, grad_hy * update, of_bias(of_input), of_bias(of_hidden)};
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, CUDA, library) {
    library.impl("_thnn_fused_lstm_cell", lstm_cell);
    library.impl("_thnn_fused_lstm_cell_backward_impl", lstm_cell_backward);
    library.impl("_thnn_fused_gru_cell", gru_cell);
    library.impl("_thnn_fused_gru_cell_backward", gru_cell_backward);
}

}  // namespace fake_cuda
