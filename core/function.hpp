#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace retrace::detail {

template <class Signature>
class Function;

/// Any function of a signature, as std::function is, whose header alone would take a user's compiler a third as long as
/// all of core. Copies share what is called.
template <class R, class... Args>
class Function<R(Args...)> {
 public:
  Function() = default;
  template <class F>
  requires std::is_invocable_r_v<R, F&, Args...> Function(F f) : called_(std::make_shared<Of<F>>(std::move(f))) {}

  explicit operator bool() const { return called_ != nullptr; }
  R operator()(Args... args) const { return called_->call(std::forward<Args>(args)...); }

 private:
  struct Any {
    Any() = default;
    Any(const Any&) = delete;
    Any& operator=(const Any&) = delete;
    virtual ~Any() = default;
    virtual R call(Args... args) = 0;
  };
  template <class F>
  struct Of : Any {
    explicit Of(F function) : f(std::move(function)) {}
    R call(Args... args) override { return f(std::forward<Args>(args)...); }
    F f;
  };

  std::shared_ptr<Any> called_;
};

}  // namespace retrace::detail
