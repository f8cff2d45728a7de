#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include "error.hpp"

namespace retrace::detail {

template <class Signature>
class Function;

/// Any function of a signature. Not std::function, whose header alone would take a user's compiler
/// a third as long as all of core. Copies share what is called. Calling an empty one throws Error.
template <class R, class... Args>
class Function<R(Args...)> {
 public:
  Function() = default;
  template <class F>
  requires std::is_invocable_r_v<R, F&, Args...> Function(F f)
      : called_(std::make_shared<F>(std::move(f))), call_([](void* it, Args... args) -> R {
          return (*static_cast<F*>(it))(std::forward<Args>(args)...);
        }) {}

  explicit operator bool() const { return called_ != nullptr; }
  R operator()(Args... args) const {
    require(called_ != nullptr, "an empty function was called: one never set or moved from");
    return call_(called_.get(), std::forward<Args>(args)...);
  }

 private:
  std::shared_ptr<void> called_;
  R (*call_)(void* it, Args... args) = nullptr;
};

}  // namespace retrace::detail
