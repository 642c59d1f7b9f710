#include "nn/pickle.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <unordered_map>

#include "tensor/error.h"

namespace cairn::nn {

using Value = PickleValue;

namespace {

/// The machine that a pickle is a program for: a stack of values, a memo, marks on the stack.
class Machine {
 public:
  Machine(std::span<const uint8_t> bytes, const std::string& origin, std::deque<Value>& values)
      : bytes_(bytes), origin_(origin), values_(values) {}

  Value* run() {
    while (step()) {
    }
    return pop();
  }
  size_t position() const { return at_; }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorId::format, "pickle", cat(origin_, ", byte ", at_, ": ", what));
  }
  void check(bool ok, const char* what) const {
    if (!ok) fail(what);
  }

  const uint8_t* take(uint64_t n) {
    check(n <= bytes_.size() - at_, "it ends too early");
    const uint8_t* p = bytes_.data() + at_;
    at_ += n;
    return p;
  }
  /// A little-endian number of n bytes.
  uint64_t unsigned_number(int n) {
    const uint8_t* p = take(uint64_t(n));
    uint64_t v = 0;
    for (int i = 0; i < n; ++i) v |= uint64_t(p[i]) << (8 * i);
    return v;
  }
  std::string characters(uint64_t n) {
    const uint8_t* p = take(n);
    return std::string(p, p + n);
  }
  std::string line() {
    const auto rest = bytes_.subspan(at_);
    const auto end = std::ranges::find(rest, '\n');
    check(end != rest.end(), "it ends within a line");
    std::string s(rest.begin(), end);
    at_ += s.size() + 1;
    return s;
  }
  int64_t decimal(std::string s) const {
    if (s.ends_with('L')) s.pop_back();
    int64_t v = 0;
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v);
    check(error == std::errc() && end == s.data() + s.size(), "a number is none");
    return v;
  }

  Value* make(Value value) {
    check(values_.size() < 1 << 20, "it has too many values");
    values_.push_back(std::move(value));
    return &values_.back();
  }
  void push(Value* v) { stack_.push_back(v); }
  void push_integer(int64_t v) { push(make({.kind = Value::integer, .number = v})); }
  void push_boolean(bool v) { push(make({.kind = Value::boolean, .number = v})); }
  void push_real(double v) { push(make({.kind = Value::real, .real_number = v})); }
  void push_text(std::string s) { push(make({.kind = Value::text, .string = std::move(s)})); }
  void push_name(const std::string& module, const std::string& name) {
    push(make({.kind = Value::name, .string = module + "." + name}));
  }
  void push_sequence(std::vector<Value*> items) {
    push(make({.kind = Value::sequence, .items = {items.begin(), items.end()}}));
  }
  Value* top() {
    check(stack_.size() > (marks_.empty() ? 0 : marks_.back()), "the stack is empty");
    return stack_.back();
  }
  Value* pop() {
    Value* v = top();
    stack_.pop_back();
    return v;
  }
  std::vector<Value*> pop_many(size_t n) {
    std::vector<Value*> all(n);
    for (size_t i = n; i-- > 0;) all[i] = pop();
    return all;
  }
  /// All above the last mark, which is taken away.
  std::vector<Value*> pop_to_mark() {
    check(!marks_.empty(), "there is no mark");
    const auto begin = stack_.begin() + std::ptrdiff_t(marks_.back());
    std::vector<Value*> all(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return all;
  }
  void remember(uint64_t key) { memo_[key] = top(); }
  void recall(uint64_t key) {
    const auto found = memo_.find(key);
    check(found != memo_.end(), "it recalls what it never kept");
    push(found->second);
  }

  void append(const std::vector<Value*>& items) {
    Value* to = top();
    check(to->kind == Value::sequence || to->kind == Value::call, "it appends to no list");
    to->items.insert(to->items.end(), items.begin(), items.end());
  }
  void set_items(const std::vector<Value*>& all) {
    Value* to = top();
    check(to->kind == Value::dictionary || to->kind == Value::call, "it fills no dictionary");
    check(all.size() % 2 == 0, "a key has no value");
    for (size_t i = 0; i < all.size(); i += 2) to->entries.emplace_back(all[i], all[i + 1]);
  }
  /// The call of a class or function, which is not made.
  void call(const Value* what, const Value* arguments) {
    check(what->kind == Value::name, "it calls what is no class or function");
    if (what->string == "collections.OrderedDict" && arguments->items.empty())
      return push(make({.kind = Value::dictionary}));
    push(make({.kind = Value::call, .string = what->string, .items = {arguments}}));
  }
  /// An object's state: of a dictionary's attributes nothing is kept.
  void build(const Value* state) {
    Value* to = top();
    if (to->kind == Value::call)
      to->state = state;
    else
      check(to->kind == Value::dictionary, "it sets the state of what has none");
  }
  void make_persistent(Value* reference) {
    push(make({.kind = Value::persistent, .items = {reference}}));
  }
  void integer_of_bytes(uint64_t n) {  // two's complement, little-endian; those beyond 64 bits are
    const uint8_t* p = take(n);        // magic numbers, of which the lowest bits are kept
    uint64_t v = n > 0 && p[n - 1] & 0x80 ? ~uint64_t(0) : 0;
    for (uint64_t i = 0; i < std::min<uint64_t>(n, 8); ++i)
      v = (v & ~(uint64_t(0xff) << (8 * i))) | uint64_t(p[i]) << (8 * i);
    push_integer(int64_t(v));
  }

  /// One instruction (Python's pickletools lists them); false after the last.
  bool step() {
    const auto code = char(*take(1));
    switch (code) {
      case '\x80':
        check(unsigned_number(1) <= 5, "it is of a newer protocol");
        break;
      case '\x95':
        take(8);
        break;  // FRAME
      case '.':
        return false;
      case '(':
        marks_.push_back(stack_.size());
        break;
      case '0':
        if (!marks_.empty() && marks_.back() == stack_.size())
          marks_.pop_back();
        else
          pop();
        break;
      case '1':
        pop_to_mark();
        break;
      case '2':
        push(top());
        break;
      case 'N':
        push(make({}));
        break;
      case '\x88':
        push_boolean(true);
        break;
      case '\x89':
        push_boolean(false);
        break;
      case 'K':
        push_integer(int64_t(unsigned_number(1)));
        break;
      case 'M':
        push_integer(int64_t(unsigned_number(2)));
        break;
      case 'J':
        push_integer(int32_t(unsigned_number(4)));
        break;
      case 'I': {
        const std::string s = line();
        if (s == "00" || s == "01")
          push_boolean(s == "01");
        else
          push_integer(decimal(s));
        break;
      }
      case 'L':
        push_integer(decimal(line()));
        break;
      case '\x8a':
        integer_of_bytes(unsigned_number(1));
        break;
      case '\x8b':
        integer_of_bytes(unsigned_number(4));
        break;
      case 'G': {
        const uint8_t* p = take(8);  // big-endian
        uint64_t bits = 0;
        for (int i = 0; i < 8; ++i) bits = bits << 8 | p[i];
        push_real(std::bit_cast<double>(bits));
        break;
      }
      case 'F':
        push_real(std::strtod(line().c_str(), nullptr));
        break;
      case 'X':
        push_text(characters(unsigned_number(4)));
        break;  // BINUNICODE
      case '\x8c':
        push_text(characters(unsigned_number(1)));
        break;
      case '\x8d':
        push_text(characters(unsigned_number(8)));
        break;
      case 'T':
        push_text(characters(unsigned_number(4)));
        break;  // BINSTRING
      case 'U':
        push_text(characters(unsigned_number(1)));
        break;
      case 'B':
        push_text(characters(unsigned_number(4)));
        break;  // BINBYTES
      case 'C':
        push_text(characters(unsigned_number(1)));
        break;
      case '\x8e':
        push_text(characters(unsigned_number(8)));
        break;
      case '\x96':
        push_text(characters(unsigned_number(8)));
        break;  // BYTEARRAY8
      case 'V':
        push_text(line());
        break;
      case 'S':
        push_text(line());
        break;
      case ']':
      case ')':
      case '\x8f':
        push_sequence({});
        break;
      case 't':
      case 'l':
      case '\x91':
        push_sequence(pop_to_mark());
        break;
      case '\x85':
        push_sequence(pop_many(1));
        break;
      case '\x86':
        push_sequence(pop_many(2));
        break;
      case '\x87':
        push_sequence(pop_many(3));
        break;
      case 'a':
        append(pop_many(1));
        break;
      case 'e':
      case '\x90':
        append(pop_to_mark());
        break;
      case '}':
        push(make({.kind = Value::dictionary}));
        break;
      case 'd': {
        const auto all = pop_to_mark();
        push(make({.kind = Value::dictionary}));
        set_items(all);
        break;
      }
      case 's':
        set_items(pop_many(2));
        break;
      case 'u':
        set_items(pop_to_mark());
        break;
      case 'p':
        remember(uint64_t(decimal(line())));
        break;
      case 'q':
        remember(unsigned_number(1));
        break;
      case 'r':
        remember(unsigned_number(4));
        break;
      case '\x94':
        remember(memo_.size());
        break;
      case 'g':
        recall(uint64_t(decimal(line())));
        break;
      case 'h':
        recall(unsigned_number(1));
        break;
      case 'j':
        recall(unsigned_number(4));
        break;
      case 'c': {
        const std::string module = line();
        push_name(module, line());
        break;
      }
      case '\x93': {
        const auto both = pop_many(2);
        push_name(both[0]->string, both[1]->string);
        break;
      }
      case 'R':
      case '\x81': {
        const auto both = pop_many(2);
        call(both[0], both[1]);
        break;
      }
      case '\x92': {  // with named arguments, of which nothing here has use
        const auto three = pop_many(3);
        call(three[0], three[1]);
        break;
      }
      case 'b':
        build(pop());
        break;
      case 'Q':
        make_persistent(pop());
        break;
      case 'P':
        push_text(line());
        make_persistent(pop());
        break;
      default:
        fail(cat("there is no instruction ", int(uint8_t(code)), " in a file of weights"));
    }
    return true;
  }
  std::span<const uint8_t> bytes_;
  const std::string& origin_;
  std::deque<Value>& values_;
  size_t at_ = 0;
  std::vector<Value*> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, Value*> memo_;
};

}  // namespace

Pickle::Pickle(std::span<const uint8_t> bytes, const std::string& origin) {
  Machine machine(bytes, origin, values_);
  root_ = machine.run();
  size_ = machine.position();
}

}  // namespace cairn::nn
