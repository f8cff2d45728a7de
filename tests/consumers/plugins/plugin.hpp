#pragma once

/// What a plugin offers to a host that does not know retrace; the functions of the first that find
/// a fault name it.
struct Plugin {
  const char* (*fault)();          ///< what is wrong within this plugin; null if nothing is
  void* (*enter_no_grad)();        ///< a NoGrad, and
  void (*leave_no_grad)(void*);    ///< its end
  bool (*is_recording)();          ///< in the calling thread
  long (*live_nodes)();            ///< of the calling thread
  void* (*new_tensor)();           ///< retrace::Tensor*, [2] and requires a gradient
  bool (*train_on)(void* tensor);  ///< deletes it; whether its gradient was right
  void (*refuse)();                ///< throws retrace::Error
  bool (*catches)(void (*f)());    ///< whether f throws retrace::Error
};

extern "C" __attribute__((visibility("default"))) const Plugin* plugin();
