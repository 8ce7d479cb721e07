// The nearest of several texts, for "did you mean".
#pragma once

#include <set>
#include <string>
#include <string_view>

namespace trustline {

// The candidate that fewest insertions, deletions and substitutions turn `text` into; empty when it takes more than a
// third of the characters (and more than two).
std::string NearestText(std::string_view text, const std::set<std::string>& candidates);

}  // namespace trustline
