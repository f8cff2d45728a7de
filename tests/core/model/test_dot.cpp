#include <doctest/doctest.h>

#include <retrace/core.hpp>

using namespace retrace;

namespace {

Tensor weight(const Shape& shape) { return ones(shape).requires_grad(true); }

/// What a folded picture says between the lines that all have in common.
std::string folded(const Tensor& y, const Parameters& names) {
  const std::string dot = to_dot(y, names, {.fold = true}), end = "}\n",
                    begin =
                        "digraph retrace {\n  rankdir=BT;\n  node [shape=box, style=rounded, "
                        "fontname=\"sans-serif\"];\n";
  REQUIRE(dot.starts_with(begin));
  REQUIRE(dot.ends_with(end));
  return dot.substr(begin.size(), dot.size() - begin.size() - end.size());
}

const std::string filled = ", style=\"rounded,filled\", fillcolor=lightgrey];\n";

/// A recurrent network of five steps with an output layer.
struct Net {
  Tensor w_x = weight({3, 4}), w_h = weight({4, 4}), w = weight({4, 2}), b = weight({2});

  Tensor operator()(const Tensor& x) const {
    Tensor h = zeros({x.dim(0), 4});
    for (const Tensor& x_t : unstack(matmul(x, w_x), 1)) h = tanh(x_t + matmul(h, w_h));
    return matmul(h, w) + b;
  }
  Parameters names() const {
    Parameters list;
    list.add("net.rnn.w_x", w_x);
    list.add("net.rnn.w_h", w_h);
    list.add("head.w", w);
    list.add("head.b", b);
    return list;
  }
};

}  // namespace

TEST_CASE("dot: operations and shapes and parameters are named") {
  const Tensor w = ones({1, 2}, f64).requires_grad(true), x = tensor({{3}}, f64);
  Parameters names;
  names.add("net.\"w\"", w);
  CHECK(to_dot(tanh(matmul(x, w)), names) ==
        "digraph retrace {\n  rankdir=BT;\n  node [shape=box, style=rounded, "
        "fontname=\"sans-serif\"];\n"
        "  n0 [label=\"net.\\\"w\\\"\\n[1, 2]\", style=filled, fillcolor=lightgrey];\n"
        "  n1 [label=\"matmul\\n[1, 2]\"];\n  n0 -> n1;\n"
        "  n2 [label=\"tanh\\n[1, 2]\"];\n  n1 -> n2;\n}\n");
}

TEST_CASE("dot: folded a training step has a box for each layer and one for the loss") {
  const Net net;
  CHECK(folded(mse_loss(net(ones({6, 5, 3})), zeros({6, 2})), net.names()) ==
        "  n1 [label=\"loss\\n1 div, 1 mul, 1 sub, 1 sum\\n\u2192 []\"];\n"
        "  n2 [label=\"net.rnn\\nw_x [3, 4], w_h [4, 4]\\n5 add, 6 matmul, 5 tanh, 1 "
        "unstack\\n\u2192 [6, 4]\"" +
            filled + "  n3 [label=\"head\\nw [4, 2], b [2]\\n1 add, 1 matmul\\n\u2192 [6, 2]\"" +
            filled + "  n2 -> n3;\n  n3 -> n1;\n");
}

TEST_CASE(
    "dot: folded operations before any parameter are inputs and a result of many elements is no "
    "loss") {
  const Net net;
  const Tensor x = ones({6, 3, 5}).requires_grad(true);
  CHECK(folded(relu(net(transpose(x))), net.names()) ==
        "  n0 [label=\"inputs\\n1 leaf, 1 transpose\\n\u2192 [6, 5, 3]\"];\n"
        "  n2 [label=\"net.rnn\\nw_x [3, 4], w_h [4, 4]\\n5 add, 6 matmul, 5 tanh, 1 "
        "unstack\\n\u2192 [6, 4]\"" +
            filled +
            "  n3 [label=\"head\\nw [4, 2], b [2]\\n1 add, 1 matmul, 1 relu\\n\u2192 [6, 2]\"" +
            filled + "  n0 -> n2;\n  n2 -> n3;\n");
}

TEST_CASE("dot: folded the last of a layer's operations stays with the others before the loss") {
  const Net net;
  Tensor h = zeros({6, 4});
  for (const Tensor& x_t : unstack(matmul(ones({6, 5, 3}), net.w_x), 1))
    h = tanh(x_t + matmul(h, net.w_h));
  const std::string dot = folded(mean(h), net.names());
  CHECK(dot.find("5 tanh") != std::string::npos);
  CHECK(dot.find("loss\\n1 div, 1 sum") != std::string::npos);
  CHECK(dot.find("head") == std::string::npos);  // it is not in the graph
}

TEST_CASE("dot: folded a weight used in two places joins them and names are escaped") {
  const Tensor w = weight({2, 2}), scale = weight({2}), b = weight({2});
  Parameters names;
  names.add("w", w);  // of no layer
  names.add("in\"puts.scale", scale);
  names.add("in\"puts.b", b);
  CHECK(
      folded(sum(matmul(matmul(ones({1, 2}), w) * scale, transpose(w)) + b), names) ==
      "  n1 [label=\"loss\\n1 sum\\n\u2192 []\"];\n"
      "  n2 [label=\"w [2, 2]\\n1 matmul, 1 transpose\\n\u2192 [1, 2]\"" +
          filled +
          "  n3 [label=\"in\\\"puts\\nscale [2], b [2]\\n1 add, 1 matmul, 1 mul\\n\u2192 [1, 2]\"" +
          filled + "  n2 -> n3;\n  n3 -> n1;\n");
}

TEST_CASE("dot: folded a lone tensor and a graph without names are pictures too") {
  CHECK(folded(ones({3}), {}) == "  n0 [label=\"inputs\\n1 leaf\\n\u2192 [3]\"];\n");
  CHECK(folded(sum(weight({3})), {}) ==
        "  n0 [label=\"inputs\\n1 leaf\\n\u2192 [3]\"];\n  n1 [label=\"loss\\n1 sum\\n\u2192 "
        "[]\"];\n  n0 -> n1;\n");
}
