// The floor: the workload by hand, without a graph, over buffers made once. What retrace is
// measured against.
//   floor-LIBRARY         the input projection of all steps in one product, as is each weight's
//                         gradient
//   floor-packed          the same with kernels of our own; the recurrent weights are packed once a
//                         step of training
//   floor-packed-LIBRARY  the same, the gradients of the weights by the library
//   floor-...-split       each of OMP_NUM_THREADS threads takes its share of the batch through all
//                         steps
#include "floor_kernels.hpp"

#include <omp.h>

#include <cmath>
#include <memory>
#include <string>

#include "workload.hpp"
#ifdef FLOOR_HAS_DNNL
#include <dnnl.h>
#endif

using namespace benchmark_rnn;

extern "C" {
void cblas_sgemm(int, int, int, int, int, int, float, const float*, int, const float*, int, float,
                 float*, int);
void cblas_dgemm(int, int, int, int, int, int, double, const double*, int, const double*, int,
                 double, double*, int);
__attribute__((weak)) void openblas_set_num_threads(int);
}

namespace {

// ---- c [m, n] (+)= a b or a^T b, by this and that ----

struct OpenBlas {
  template <class R>
  static void multiply(bool transposed, int m, int n, int k, const R* a, int lda, const R* b,
                       int ldb, bool add, R* c, int ldc) {
    const auto gemm = [] {
      if constexpr (sizeof(R) == 4)
        return cblas_sgemm;
      else
        return cblas_dgemm;
    }();
    gemm(101, transposed ? 112 : 111, 111, m, n, k, 1, a, lda, b, ldb, add ? 1 : 0, c,
         ldc);  // CBLAS: row-major, (no) transpose
  }
};

#ifdef FLOOR_HAS_DNNL
struct Dnnl {
  static void multiply(bool transposed, int m, int n, int k, const float* a, int lda,
                       const float* b, int ldb, bool add, float* c, int ldc) {
    dnnl_sgemm(transposed ? 'T' : 'N', 'N', m, n, k, 1, a, lda, b, ldb, add ? 1 : 0, c, ldc);
  }
};
#endif

struct Loops {
  template <class R>
  static void multiply(bool transposed, int m, int n, int k, const R* __restrict a, int lda,
                       const R* __restrict b, int ldb, bool add, R* __restrict c, int ldc) {
    for (int i = 0; i < m; ++i, c += ldc) {
      if (!add) std::fill_n(c, n, R(0));
      for (int p = 0; p < k; ++p) {
        const R left = transposed ? a[p * lda + i] : a[i * lda + p];
        for (int j = 0; j < n; ++j) c[j] += left * b[p * ldb + j];
      }
    }
  }
};

struct Own {
  template <class R>
  static void multiply(bool transposed, int m, int n, int k, const R* a, int lda, const R* b,
                       int ldb, bool add, R* c, int ldc) {
    floor_kernels::multiply(transposed, m, n, k, a, lda, b, ldb, add, c, ldc);
  }
};

/// A weight as a library wants it, like floor_kernels::Packed: a copy only where it is to be
/// transposed.
template <class Library, class R>
class Plain {
 public:
  void prepare(bool transposed, int k, int n, const R* w, int width) {
    k_ = k, n_ = floor_kernels::padded<R>(n), width_ = transposed ? n_ : width, w_ = w;
    if (!transposed) return;
    if (n < n_) copy_.clear();  // so that columns beyond n are 0
    copy_.resize(static_cast<std::size_t>(k) * n_);
    for (int left = 0; left < k; left += 16)
      for (int j = 0; j < n; ++j)
        for (int p = left; p < std::min(k, left + 16); ++p) copy_[p * n_ + j] = w[j * width + p];
    w_ = copy_.data();
  }
  void multiply(int m, const R* a, int lda, bool add, R* c, int ldc) const {
    Library::multiply(false, m, n_, k_, a, lda, w_, width_, add, c, ldc);
  }

 private:
  int k_ = 0, n_ = 0, width_ = 0;
  const R* w_ = nullptr;
  std::vector<R> copy_;
};

/// Weights, or their gradients, in padded rows.
template <class R>
struct Weights {
  explicit Weights(const Size& s) : width(floor_kernels::padded<R>(s.units)) {
    for (const auto& [w, rows] : {std::pair(&x, s.features), {&h, s.units}, {&b, 1}})
      w->assign(static_cast<std::size_t>(rows) * width, R(0));
  }
  int width;
  std::vector<R> x, h, b;
};

template <class R>
void copy_padded(int rows, int columns, const double* from, R* to) {
  for (int i = 0; i < rows; ++i, from += columns, to += floor_kernels::padded<R>(columns))
    std::copy_n(from, columns, to);
}

/// Forward and backward for a part of the batch.
template <class R, class Weight, class Stacked>
class Part {
 public:
  Part(const Size& s, const Data& data, const Weights<R>& w, int first, int count)
      : gradient(s),
        s_(s),
        w_(w),
        batch_(count),
        features_(floor_kernels::padded<R>(s.features)),
        units_(w.width),
        // With small weights a stretch of the sequence stays in the cache until all that is done
        // with it is done.
        stretch_(s.units > 256 ? s.steps : std::clamp(512 / count, 1, s.steps)) {
    const auto rows = static_cast<std::size_t>(s.steps) * count;
    x_.resize(rows * features_), dx.resize(rows * features_);
    h_.assign((rows + count) * units_, R(0)), da_.resize(rows * units_), dh_.resize(count * units_);
    for (int t = 0; t < s.steps; ++t)
      copy_padded(count, s.features,
                  &data.x[(static_cast<std::size_t>(t) * s.batch + first) * s.features], x(t));
  }

  [[gnu::flatten]] void forward() {
    input_.prepare(false, s_.features, s_.units, w_.x.data(), units_);
    recurrent_.prepare(false, s_.units, s_.units, w_.h.data(), units_);
    for (int begin = 0; begin < s_.steps; begin += stretch_) {
      const int end = std::min(s_.steps, begin + stretch_);
      input_.multiply((end - begin) * batch_, x(begin), features_, false, h(begin + 1), units_);
      for (int t = begin; t < end; ++t) {
        if (t > 0) recurrent_.multiply(batch_, h(t), units_, true, h(t + 1), units_);
        activate(h(t + 1));
      }
    }
  }

  [[gnu::flatten]] void backward() {
    recurrent_.prepare(true, s_.units, s_.units, w_.h.data(), units_);
    input_.prepare(true, s_.units, s_.features, w_.x.data(), units_);
    std::copy_n(h(s_.steps), dh_.size(), dh_.data());
    std::fill(gradient.b.begin(), gradient.b.end(), R(0));
    for (int end = s_.steps; end > 0; end -= stretch_) {
      const int begin = std::max(0, end - stretch_), rows = (end - begin) * batch_;
      for (int t = end - 1; t >= begin; --t) {
        differentiate(h(t + 1), da(t));
        if (t > 0) recurrent_.multiply(batch_, da(t), units_, false, dh_.data(), units_);
      }
      const bool add = end < s_.steps;
      Stacked::multiply(true, s_.features, units_, rows, x(begin), features_, da(begin), units_,
                        add, gradient.x.data(), units_);
      Stacked::multiply(true, s_.units, units_, rows, h(begin), units_, da(begin), units_, add,
                        gradient.h.data(), units_);
      input_.multiply(rows, da(begin), units_, false, &dx[x(begin) - x_.data()], features_);
    }
  }

  double loss() {
    R sum = 0;
    for (std::size_t i = 0; i < dh_.size(); ++i) sum += h(s_.steps)[i] * h(s_.steps)[i];
    return 0.5 * sum;
  }

  Weights<R> gradient;
  std::vector<R> dx;

 private:
  R* x(int t) { return x_.data() + static_cast<std::ptrdiff_t>(t) * batch_ * features_; }
  R* h(int t) {
    return h_.data() + static_cast<std::ptrdiff_t>(t) * batch_ * units_;
  }  // the state before step t
  R* da(int t) { return da_.data() + static_cast<std::ptrdiff_t>(t) * batch_ * units_; }

  /// h = tanh(h + b)
  void activate(R* __restrict h) const {
    const R* __restrict b = w_.b.data();
    for (int i = 0; i < batch_; ++i, h += units_)
      for (int j = 0; j < units_; ++j) h[j] = floor_kernels::tanh(h[j] + b[j]);
  }
  /// da = dh * (1 - h^2), db += da
  void differentiate(const R* __restrict h, R* __restrict da) {
    const R* __restrict dh = dh_.data();
    R* __restrict db = gradient.b.data();
    for (int i = 0; i < batch_; ++i, dh += units_, h += units_, da += units_)
      for (int j = 0; j < units_; ++j) db[j] += da[j] = dh[j] * (1 - h[j] * h[j]);
  }

  const Size& s_;
  const Weights<R>& w_;
  const int batch_, features_, units_, stretch_;
  std::vector<R> x_, h_, da_, dh_;
  Weight input_, recurrent_;
};

template <class R>
double norm(const std::vector<R>& values) {
  double sum = 0;
  for (const R v : values) sum += static_cast<double>(v) * v;
  return std::sqrt(sum);
}

template <class R, class Weight, class Stacked>
void run(const std::string& name, const Size& s, int threads) {
  const Data data(s);
  Weights<R> w(s);
  copy_padded(s.features, s.units, data.w_x.data(), w.x.data());
  copy_padded(s.units, s.units, data.w_h.data(), w.h.data());
  copy_padded(1, s.units, data.b.data(), w.b.data());
  std::vector<std::unique_ptr<Part<R, Weight, Stacked>>> parts;
  for (int i = 0; i < threads; ++i) {
    const int first = s.batch * i / threads, end = s.batch * (i + 1) / threads;
    parts.push_back(std::make_unique<Part<R, Weight, Stacked>>(s, data, w, first, end - first));
  }

  const auto on_each_thread = [&](auto f) {
    if (threads == 1) return f(0);
#pragma omp parallel num_threads(threads)
    f(omp_get_thread_num());
  };
  // A share of all weights for each thread, once all parts of the batch are done.
  const auto descend = [&](int thread) {
    for (std::vector<R> Weights<R>::*which : {&Weights<R>::x, &Weights<R>::h, &Weights<R>::b}) {
      const std::size_t size = (w.*which).size(), begin = thread == 0 ? 0 : size / threads * thread,
                        end = thread + 1 == threads ? size : size / threads * (thread + 1);
      R* __restrict to = (w.*which).data();
      R* __restrict total = (parts[0]->gradient.*which).data();
      for (int i = 1; i < threads; ++i) {
        const R* __restrict more = (parts[i]->gradient.*which).data();
        for (std::size_t j = begin; j < end; ++j) total[j] += more[j];
      }
      for (std::size_t j = begin; j < end; ++j) to[j] -= static_cast<R>(learning_rate) * total[j];
    }
  };
  double loss = 0;
  const auto train = [&] {
    on_each_thread([&](int thread) {
      parts[thread]->forward();
      parts[thread]->backward();
#pragma omp barrier
      descend(thread);
    });
    loss = 0;
    for (const auto& part : parts) loss += part->loss();
  };
  train();
  double dx = 0;
  for (const auto& part : parts) dx = std::hypot(dx, norm(part->dx));
  const Weights<R>& gradient = parts[0]->gradient;
  print_check(name.c_str(), s, {loss, norm(gradient.x), norm(gradient.h), norm(gradient.b), dx});
  time_and_print(name.c_str(), s, true, train);
  time_and_print(name.c_str(), s, false,
                 [&] { on_each_thread([&](int thread) { parts[thread]->forward(); }); });
}

struct Variant {
  const char* name;
  void (*run)(const std::string& name, const Size& s, int threads);
  bool has_threads;  // of its own
};

template <class R>
void run_all(const Arguments& arguments, const Size& s) {
  using Packed = floor_kernels::Packed<R>;
  std::vector<Variant> variants{{"floor-openblas", run<R, Plain<OpenBlas, R>, OpenBlas>, true},
                                {"floor-tiled", run<R, Plain<Own, R>, Own>, false},
                                {"floor-packed", run<R, Packed, Own>, false},
                                {"floor-packed-openblas", run<R, Packed, OpenBlas>, false}};
  if (s.units <= 256) variants.push_back({"floor-loops", run<R, Plain<Loops, R>, Loops>, false});
#ifdef FLOOR_HAS_DNNL
  if constexpr (sizeof(R) == 4) {
    variants.push_back({"floor-dnnl", run<R, Plain<Dnnl, R>, Dnnl>, true});
    variants.push_back({"floor-packed-dnnl", run<R, Packed, Dnnl>, false});
  }
#endif
  for (const Variant& variant : variants)
    for (const bool split : {false, true}) {
      const std::string name = std::string(variant.name) + (split ? "-split" : "");
      const int parts = split ? std::min(threads(), s.batch) : 1;
      if (!arguments.wants(name) || (split && parts == 1)) continue;
      if (openblas_set_num_threads)
        openblas_set_num_threads(split || !variant.has_threads ? 1 : threads());
      variant.run(name, s, parts);
    }
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  for (const Size& s : arguments.sizes)
    if (s.gates == 1)
      s.is_f64 ? run_all<double>(arguments, s)
               : run_all<float>(arguments, s);  // the others have none
}
