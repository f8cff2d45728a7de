#pragma once

#include <retrace/core.hpp>
#include <string>
#include <vector>

/// Programs of tensor operations as text, with what PyTorch makes of them;
/// tests/differential/programs.py says more.
namespace retrace::test {

struct Statement {
  std::vector<std::string> names;      ///< of the results
  std::string op;                      ///< in retrace's words
  std::vector<std::string> arguments;  ///< names, numbers, lists [1,2] and words
};

struct Program {
  std::string text;
  std::size_t numbers_at = 0;  ///< where what is expected of it starts
  bool second_order = true;
  bool projected = false;  ///< one number is expected of each tensor
  std::vector<Statement> statements;
  std::vector<std::string> results;
  std::vector<Shape> result_shapes;
};

std::vector<Program> read_programs(const std::string& path);

/// The operations that programs may have.
std::vector<std::string> program_operations();

/// Whether a value that no later statement reads is let go at once, so that its last reader may
/// overwrite it.
enum class Values { let_go, held };

/// A program carried out.
struct Run {
  Run(const Program& program, Values values);

  std::vector<Tensor> leaves, results;
};

}  // namespace retrace::test
