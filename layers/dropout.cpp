#include "dropout.hpp"

namespace retrace {

Dropout::Dropout(double probability, const Generator& generator) : probability_(probability), generator_(generator) {
  require(probability >= 0 && probability < 1, "Dropout: the probability must be in [0, 1), got {}", probability);
}

}  // namespace retrace
