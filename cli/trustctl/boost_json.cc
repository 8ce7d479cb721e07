// Boost.JSON compiled into this program: Debian has it as headers only.
#include <boost/json/src.hpp>
