#include <doctest/doctest.h>

#include <retrace/core.hpp>

#include "support/check_refused.hpp"
#include "support/parameters.hpp"
#include "support/temporary_directory.hpp"

#include <array>
#include <memory>

using namespace retrace;
using namespace retrace::test;

namespace {

struct Net {
  Tensor w = ones({27, 16}).requires_grad(true), long_name = ones({8}, f64).requires_grad(true),
         counts = ones({}, i64);

  void parts(auto& list) {
    list("w", w);
    list("long_name", long_name);
    list("counts", counts);
    list("tied", w);
  }
};

Tensor one_of(double value) { return tensor({value}).requires_grad(true); }

struct Cell {
  Tensor w, b;

  void parts(auto& list) {
    list("w", w);
    list("b", b);
  }
};

/// Parts that its copies have in common with it.
struct Pointing {
  Generator own{2};
  std::shared_ptr<Cell> cell = std::make_shared<Cell>(Cell{one_of(1), one_of(2)});
  std::shared_ptr<Generator> generator = std::make_shared<Generator>(3);

  void parts(auto& list) {
    list("own", own);
    if (cell) list("cell", *cell);
    if (generator) list("generator", *generator);
  }
};

Cell cell(double value) { return {one_of(value), one_of(-value)}; }

/// Vectors of every kind of part.
struct Tower {
  std::vector<Cell> layers{cell(1), cell(2)};
  std::vector<std::vector<Cell>> nested{{}, {cell(3)}};
  std::array<Tensor, 2> pair{layers[1].w, one_of(4)};
  std::vector<Generator> generators{Generator(1), Generator(2)};
  std::vector<Cell> none;

  void parts(auto& list) {
    list("layers", layers);
    list("nested", nested);
    list("pair", pair);
    list("generators", generators);
    list("none", none);
  }
};

}  // namespace

TEST_CASE("parameters: the parts of a vector are named by their places") {
  static_assert(HasParts<Tower>);
  const std::string names =
      "layers.0.w layers.0.b layers.1.w layers.1.b nested.1.0.w nested.1.0.b pair.1";
  Tower tower;
  CHECK(names_of(parameters(tower)) == names);
  CHECK(parameters(Cell(), tower)[6].name == "1.pair.1");
  CHECK(summary(tower).find("nested.1.0.b  [1]") != std::string::npos);
  CHECK(to_dot(tower.layers[0].w * tower.layers[0].b, parameters(tower), {.fold = true})
            .find("layers.0\\nw [1], b [1]") != std::string::npos);
  tower.layers.push_back(cell(5));
  CHECK(parameters(tower)["layers.2.b"].item() == -5);
}

TEST_CASE("parameters: a model with vectors of parts is copied and cloned and shared and saved") {
  const TemporaryDirectory folder;
  Tower tower, copy = tower, own = clone(tower), view = share(tower);
  CHECK(copy.layers[0].w.get() == tower.layers[0].w.get());
  save(folder.path("tower"), parameters(tower));
  for (const Parameter& p : parameters(tower)) p.value.fill(7);
  CHECK(copy.layers[1].w.item() == 7);
  CHECK(view.nested[1][0].b.item() == 7);
  CHECK(view.nested[1][0].b.get() != tower.nested[1][0].b.get());
  CHECK(own.nested[1][0].b.item() == -3);
  CHECK(own.pair[0].get() == own.layers[1].w.get());  // tied ones stay tied
  CHECK(own.generators[1].state() == Generator(2).state());
  CHECK(copy.generators[1].state() == tower.generators[1].state());  // from which share has drawn
  CHECK(own.generators[1].state() != tower.generators[1].state());
  CHECK(view.generators[0].state() != tower.generators[0].state());
  load(folder.path("tower"), parameters(tower));
  CHECK(tower.pair[1].item() == 4);
}

TEST_CASE("parameters: generators that a model has in several places stay one in its copies") {
  Tower tower;
  tower.generators = {Generator(1), Generator(2), tower.generators[0], Generator(1)};
  tower.generators[2] = tower.generators[0];
  for (const Tower& copy : {clone(tower), share(tower)}) {
    CHECK(copy.generators[0].same_as(copy.generators[2]));
    CHECK(!copy.generators[0].same_as(tower.generators[0]));
    CHECK(!copy.generators[0].same_as(copy.generators[3]));
    CHECK(!copy.generators[0].same_as(copy.generators[1]));
  }
}

TEST_CASE(
    "parameters: a model with parts held by pointer is not cloned or shared and stays as it was") {
  for (const auto& [with_cell, with_generator] :
       {std::pair{true, true}, {true, false}, {false, true}}) {
    Pointing model;
    if (!with_cell) model.cell = nullptr;
    if (!with_generator) model.generator = nullptr;
    const Tensor w = with_cell ? model.cell->w : Tensor();
    CHECK_REFUSED(clone(model), "clone: the model holds a part by pointer or reference");
    CHECK_REFUSED(share(model), "share: the model holds a part by pointer or reference");
    if (with_cell) CHECK(model.cell->w.same_as(w));
    CHECK(model.own.state() == Generator(2).state());
    if (with_generator) CHECK(model.generator->state() == Generator(3).state());
  }
}

TEST_CASE("parameters: a summary shows each tensor once and the totals") {
  const std::string table =
      "name       shape     dtype  elements\n"
      "w          [27, 16]  f32         432\n"
      "long_name  [8]       f64           8\n"
      "counts     []        i64           1  frozen\n"
      "441 elements in 1800 bytes: 440 trained, 1 frozen\n";
  CHECK(summary(Net()) == table);
  CHECK(summary(parameters(Net())) == table);
}

TEST_CASE("parameters: a summary of none is a table without rows") {
  CHECK(summary(Parameters()) ==
        "name  shape  dtype  elements\n0 elements in 0 bytes: 0 trained, 0 frozen\n");
}
