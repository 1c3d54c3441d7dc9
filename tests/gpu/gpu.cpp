// A pretended GPU: its memory is the host's and its kernels are the CPU's, but its rules are a GPU's.
// Operations on tensors of different devices are refused; it has generators and pinned memory of its
// own; and it reports every operation for which the host would wait for the device.
#include <torch/extension.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/version.h>
#if TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR < 8
#define GENERATOR_BY_MACRO  // older PyTorch asks no hook for a new generator
#include <ATen/core/GeneratorForPrivateuseone.h>
#endif
#include <map>
#include <mutex>
#include <set>

namespace {
constexpr auto KEY = c10::DispatchKey::PrivateUse1;
constexpr auto TYPE = c10::DeviceType::PrivateUse1;

// -- what the host waits for --------------------------------------------------------------------

thread_local int inside = 0;  // kernels of the device, whose own copies are not the program's
struct Inside {
  Inside() { ++inside; }
  ~Inside() { --inside; }
};

PyObject* listener = nullptr;

void wait(const std::string& what) {
  if (inside || listener == nullptr) return;
  pybind11::gil_scoped_acquire lock;
  if (listener != nullptr) pybind11::reinterpret_borrow<pybind11::object>(listener)(what);
}

// -- memory -------------------------------------------------------------------------------------

struct DeviceAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t n) override {
    void* p = n ? c10::alloc_cpu(n) : nullptr;
    return {p, p, &c10::free_cpu, c10::Device(TYPE, 0)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &c10::free_cpu; }
  void copy_data(void* d, const void* s, std::size_t n) const override { std::memcpy(d, s, n); }
};
DeviceAllocator device_allocator;
REGISTER_ALLOCATOR(TYPE, &device_allocator);

std::mutex pinned_lock;
std::map<const char*, size_t> pinned;  // begin -> size

void free_pinned(void* p) {
  {
    std::lock_guard<std::mutex> guard(pinned_lock);
    pinned.erase(static_cast<const char*>(p));
  }
  c10::free_cpu(p);
}
bool is_pinned(const void* p) {
  std::lock_guard<std::mutex> guard(pinned_lock);
  auto next = pinned.upper_bound(static_cast<const char*>(p));
  if (next == pinned.begin()) return false;
  auto [begin, size] = *std::prev(next);
  return static_cast<const char*>(p) < begin + size;
}
struct PinnedAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t n) override {
    void* p = c10::alloc_cpu(n ? n : 1);
    std::lock_guard<std::mutex> guard(pinned_lock);
    pinned[static_cast<const char*>(p)] = n ? n : 1;
    return {p, p, &free_pinned, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_pinned; }
  void copy_data(void* d, const void* s, std::size_t n) const override { std::memcpy(d, s, n); }
};
PinnedAllocator pinned_allocator;

// -- random numbers -----------------------------------------------------------------------------

struct DeviceGenerator final : c10::GeneratorImpl {
  explicit DeviceGenerator(at::Generator own)
      : c10::GeneratorImpl(c10::Device(TYPE, 0), c10::DispatchKeySet(KEY)), own(std::move(own)) {}
  void set_current_seed(uint64_t seed) override { own.set_current_seed(seed); }
  void set_offset(uint64_t) override {}
  uint64_t get_offset() const override { return 0; }
  uint64_t current_seed() const override { return own.current_seed(); }
  uint64_t seed() override { return own.seed(); }
  void set_state(const c10::TensorImpl& state) override { own.unsafeGetGeneratorImpl()->set_state(state); }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    return own.unsafeGetGeneratorImpl()->get_state();
  }
  DeviceGenerator* clone_impl() const override { return new DeviceGenerator(own.clone()); }
  at::Generator own;  // a generator of the host, which the CPU's kernels take
};
at::Generator& default_generator() {
  static auto generator = at::make_generator<DeviceGenerator>(at::detail::createCPUGenerator(0));
  return generator;
}

#ifdef GENERATOR_BY_MACRO
at::Generator make_generator(c10::DeviceIndex) {
  return at::make_generator<DeviceGenerator>(at::detail::createCPUGenerator());
}
REGISTER_GENERATOR_PRIVATEUSE1(make_generator)
#endif

// -- the device ---------------------------------------------------------------------------------

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return TYPE; }
  c10::Device exchangeDevice(c10::Device) const override { return {TYPE, 0}; }
  c10::Device getDevice() const override { return {TYPE, 0}; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device d) const noexcept override { return c10::Stream(c10::Stream::DEFAULT, d); }
  c10::Stream getNewStream(c10::Device d, int = 0) const override { return c10::Stream(c10::Stream::DEFAULT, d); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return c10::Stream(c10::Stream::DEFAULT, {TYPE, 0}); }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const { return true; }  // from PyTorch 2.7 or 2.8 on these two override
  bool isAvailable() const { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override { return default_generator(); }
  at::Generator getNewGenerator(c10::DeviceIndex) const override {
    return at::make_generator<DeviceGenerator>(at::detail::createCPUGenerator());
  }
  bool isPinnedPtr(const void* p) const override { return is_pinned(p); }
  at::Allocator* getPinnedMemoryAllocator() const override { return &pinned_allocator; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  at::Device getDeviceFromPtr(void*) const override { return {TYPE, 0}; }
  void resizePrivateUse1Bytes(const c10::Storage& s, size_t n) const override {
    auto p = device_allocator.allocate(n);
    std::memcpy(p.get(), s.data(), std::min(n, s.nbytes()));
    s.set_data_ptr_noswap(std::move(p));
    s.unsafeGetStorageImpl()->set_nbytes(n);
  }
};

// -- tensors, and copies of them ----------------------------------------------------------------

at::Tensor empty(c10::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
    std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  auto keys = c10::DispatchKeySet(KEY);
  return at::detail::empty_generic(size, &device_allocator, keys, c10::dtype_or_default(dtype), format);
}
at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<at::ScalarType> dtype,
    std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  auto keys = c10::DispatchKeySet(KEY);
  return at::detail::empty_strided_generic(size, stride, &device_allocator, keys, c10::dtype_or_default(dtype));
}
bool on_device(const at::Tensor& t) { return t.device().type() == TYPE; }
at::Tensor on_host(const at::Tensor& t) {  // the same memory under the CPU's name
  if (!on_device(t)) return t;
  return at::from_blob(t.data_ptr(), t.sizes(), t.strides(), at::TensorOptions().dtype(t.dtype()).device(at::kCPU));
}
std::optional<at::Tensor> on_host(const std::optional<at::Tensor>& t) {
  return t && t->defined() ? std::optional<at::Tensor>(on_host(*t)) : std::nullopt;
}
at::Tensor copy_from(const at::Tensor& source, const at::Tensor& target, bool non_blocking) {
  if (on_device(source) && !on_device(target)) wait("copy to the host");
  if (!on_device(source) && on_device(target) && source.numel()) {
    if (!is_pinned(source.data_ptr())) wait("copy from pageable memory");
    else if (!non_blocking) wait("copy from pinned memory that blocks");
  }
  if (source.numel() == 0) return target;
  auto from = on_host(source), to = on_host(target);
  if (source.is_conj()) from = from.conj();
  to.copy_(from);
  return target;
}
at::Tensor copy_from_and_resize(const at::Tensor& source, const at::Tensor& target) {
  at::native::resize_(target, source.sizes(), std::nullopt);
  return copy_from(source, target, false);
}
at::Tensor to_device(const at::Tensor& t) {
  if (!t.defined()) return t;
  auto result = empty_strided(t.sizes(), t.strides(), t.scalar_type(), {}, {}, {});
  if (t.numel()) on_host(result).copy_(t);
  return result;
}
at::Scalar local_scalar(const at::Tensor& t) {
  wait("value of a tensor");
  Inside guard;
  return on_host(t).item();
}

// -- every other operation: the CPU's kernel, after a GPU's checks -------------------------------

// Operations whose result has a shape that only the device knows.
const std::set<std::string> WAITING = {
  "aten::nonzero", "aten::masked_select", "aten::equal", "aten::_unique2", "aten::unique_dim",
  "aten::unique_consecutive", "aten::repeat_interleave", "aten::bincount", "aten::multinomial",
};
// CUDA accepts index tensors of the host; lengths of packed sequences must be there.
const std::set<std::string> MIXED = {
  "aten::index", "aten::index_put_", "aten::_index_put_impl_", "aten::copy_",
  "aten::_pack_padded_sequence", "aten::_pack_padded_sequence_backward",
};

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& arguments = op.schema().arguments();
  const auto& name = op.schema().name();
  bool host = false, device = false, mask = false;
  const bool scalars_too = name.rfind("aten::_fused_", 0) == 0;  // the steps of a fused optimiser
  auto see = [&](const at::Tensor& t) {
    if (!t.defined()) return;
    if (on_device(t)) device = true;
    else if (t.dim() > 0 || scalars_too) host = true;
    if (t.scalar_type() == at::kBool) mask = true;
  };
  auto values = torch::jit::last(stack, arguments.size());
  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto& v = values[i];
    if (v.isTensor()) see(v.toTensor());
    else if (v.isTensorList()) for (const auto& t : v.toTensorVector()) see(t);
    else if (v.isOptionalTensorList()) {
      mask = false;
      for (const std::optional<at::Tensor>& t : v.toOptionalTensorList()) if (t) see(*t);
      if (mask && name == "aten::index") wait("selection by a mask");
    }
    if (arguments[i].name() == "generator" && device) {
      auto& slot = (*stack)[stack->size() - arguments.size() + i];
      auto given = v.isNone() ? default_generator() : v.toGenerator();
      TORCH_CHECK(given.device().type() == TYPE,
          "Expected a 'gpu' device type for generator but found '", given.device(), "'");
      slot = given.get<DeviceGenerator>()->own;
    }
  }
  TORCH_CHECK(!(host && device) || MIXED.count(name),
      "Expected all tensors to be on the same device: ", name, " mixes cpu and gpu");
  if (device && WAITING.count(name)) wait(name);
  Inside guard;
  at::native::cpu_fallback(op, stack);
}

// -- kernels that an accelerator must bring along -------------------------------------------------

using Maybe = std::optional<at::Tensor>;

std::tuple<at::Tensor, at::Tensor> gru(const at::Tensor& input, const at::Tensor& hidden, const at::Tensor& hx,
    const Maybe& input_bias, const Maybe& hidden_bias) {
  Inside guard;
  auto x = on_host(input), g = on_host(hidden), h = on_host(hx);
  if (input_bias && input_bias->defined()) x = x + on_host(*input_bias), g = g + on_host(*hidden_bias);
  auto xs = x.chunk(3, 1), gs = g.chunk(3, 1);
  auto r = (xs[0] + gs[0]).sigmoid(), z = (xs[1] + gs[1]).sigmoid(), n = (xs[2] + r * gs[2]).tanh();
  return {to_device(n + z * (h - n)), to_device(at::cat({r, z, n, h, gs[2]}, 1))};
}
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> gru_backward(
    const at::Tensor& gradient, const at::Tensor& workspace, bool has_bias) {
  Inside guard;
  auto g = on_host(gradient);
  auto w = on_host(workspace).chunk(5, 1);
  auto r = w[0], z = w[1], n = w[2], h = w[3], nh = w[4];
  auto dz = g * (h - n) * z * (1 - z), dn = g * (1 - z) * (1 - n * n), dr = dn * nh * r * (1 - r);
  auto gi = at::cat({dr, dz, dn}, 1), gh = at::cat({dr, dz, dn * r}, 1);
  auto bi = has_bias ? to_device(gi.sum(0)) : at::Tensor(), bh = has_bias ? to_device(gh.sum(0)) : at::Tensor();
  return {to_device(gi), to_device(gh), to_device(g * z), bi, bh};
}
std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm(const at::Tensor& input, const at::Tensor& hidden,
    const at::Tensor& cx, const Maybe& input_bias, const Maybe& hidden_bias) {
  Inside guard;
  auto a = on_host(input) + on_host(hidden);
  if (input_bias && input_bias->defined()) a = a + on_host(*input_bias) + on_host(*hidden_bias);
  auto p = a.chunk(4, 1);
  auto i = p[0].sigmoid(), f = p[1].sigmoid(), g = p[2].tanh(), o = p[3].sigmoid();
  auto cy = f * on_host(cx) + i * g;
  return {to_device(o * cy.tanh()), to_device(cy), to_device(at::cat({i, f, g, o}, 1))};
}
std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_backward(const Maybe& grad_hy, const Maybe& grad_cy,
    const at::Tensor& cx, const at::Tensor& cy, const at::Tensor& workspace, bool has_bias) {
  Inside guard;
  auto c = on_host(cx), t = on_host(cy).tanh();
  auto w = on_host(workspace).chunk(4, 1);
  auto i = w[0], f = w[1], g = w[2], o = w[3];
  auto gh = grad_hy && grad_hy->defined() ? on_host(*grad_hy) : at::zeros_like(c);
  auto dc = gh * o * (1 - t * t);
  if (grad_cy && grad_cy->defined()) dc = dc + on_host(*grad_cy);
  auto d = at::cat({dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), gh * t * o * (1 - o)}, 1);
  return {to_device(d), to_device(dc * f), has_bias ? to_device(d.sum(0)) : at::Tensor()};
}
std::tuple<at::Tensor, at::Tensor> dropout(const at::Tensor& x, double p, std::optional<bool> train) {
  Inside guard;
  auto from = on_host(x);
  auto kept = at::ones_like(from, at::TensorOptions().dtype(at::kBool));
  if (train && !*train) return {to_device(from), to_device(kept)};
  kept.bernoulli_(1 - p, default_generator().get<DeviceGenerator>()->own);
  return {to_device(p < 1 ? from * kept * (1 / (1 - p)) : at::zeros_like(from)), to_device(kept)};
}
at::Tensor convolution(const at::Tensor& x, const at::Tensor& w, const Maybe& b, at::IntArrayRef stride,
    at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed, at::IntArrayRef output_padding,
    int64_t groups) {
  TORCH_CHECK(on_device(x) && on_device(w), "Input type and weight type should be the same");
  Inside guard;
  return to_device(at::convolution(
      on_host(x), on_host(w), on_host(b), stride, padding, dilation, transposed, output_padding, groups));
}
std::tuple<at::Tensor, at::Tensor, at::Tensor> convolution_backward(const at::Tensor& g, const at::Tensor& x,
    const at::Tensor& w, at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation,
    bool transposed, at::IntArrayRef output_padding, int64_t groups, std::array<bool, 3> mask) {
  Inside guard;
  auto [dx, dw, db] = at::convolution_backward(on_host(g), on_host(x), on_host(w), at::IntArrayRef{w.size(0)},
      stride, padding, dilation, transposed, output_padding, groups, mask);
  return {to_device(dx), to_device(dw), to_device(db)};
}
}  // namespace

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>());
}
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }
TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  using at::IntArrayRef;
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("_copy_from", &copy_from);
  m.impl("_copy_from_and_resize", &copy_from_and_resize);
  m.impl("_local_scalar_dense", &local_scalar);
  m.impl("_thnn_fused_gru_cell", &gru);
  m.impl("_thnn_fused_gru_cell_backward", &gru_backward);
  m.impl("_thnn_fused_lstm_cell", &lstm);
  m.impl("_thnn_fused_lstm_cell_backward_impl", &lstm_backward);
  m.impl("native_dropout", &dropout);
  m.impl("convolution_overrideable", &convolution);
  m.impl("convolution_backward_overrideable", &convolution_backward);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("view", [](const at::Tensor& t, IntArrayRef s) { return at::native::view(t, s); });
  m.impl("_reshape_alias", [](const at::Tensor& t, IntArrayRef s, IntArrayRef st) {
    return at::native::_reshape_alias(t, s, st); });
  m.impl("unfold", [](const at::Tensor& t, int64_t d, int64_t s, int64_t st) {
    return at::native::unfold(t, d, s, st); });
  m.impl("resize_", [](const at::Tensor& t, IntArrayRef s, std::optional<at::MemoryFormat> f) -> const at::Tensor& {
    return at::native::resize_(t, s, f); });
  m.impl("set_.source_Storage_storage_offset",
      [](at::Tensor& r, at::Storage s, int64_t o, IntArrayRef z, IntArrayRef st) -> at::Tensor& {
    auto strides = at::detail::defaultStrides(z);
    r.unsafeGetTensorImpl()->set_storage_keep_dtype(s);
    r.unsafeGetTensorImpl()->set_storage_offset(o);
    r.unsafeGetTensorImpl()->set_sizes_and_strides(z, st.size() == z.size() ? st : IntArrayRef(strides));
    return r; });
  m.impl("set_.source_Storage", [](at::Tensor& r, at::Storage s) -> at::Tensor& {
    r.unsafeGetTensorImpl()->set_storage_keep_dtype(s);
    r.unsafeGetTensorImpl()->set_storage_offset(0);
    r.unsafeGetTensorImpl()->set_sizes_contiguous({int64_t(s.nbytes() / r.dtype().itemsize())});
    return r; });
  m.impl("set_.source_Tensor", [](at::Tensor& r, const at::Tensor& s) -> at::Tensor& {
    r.unsafeGetTensorImpl()->set_storage_keep_dtype(s.storage());
    r.unsafeGetTensorImpl()->set_storage_offset(s.storage_offset());
    r.unsafeGetTensorImpl()->set_sizes_and_strides(s.sizes(), s.strides());
    return r; });
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  at::RegisterPrivateUse1HooksInterface(new Hooks());
  m.def("listen", [](pybind11::object callback) {
    PyObject* before = listener;
    listener = callback.is_none() ? nullptr : callback.release().ptr();
    Py_XDECREF(before);
  });
  m.def("get_state", [] { return default_generator().get_state(); });
  m.def("set_state", [](const at::Tensor& state) { default_generator().set_state(state); });
  m.def("manual_seed", [](uint64_t seed) { default_generator().set_current_seed(seed); });
}
