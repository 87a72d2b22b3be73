#include "cli/help_formatter.h"

#include <fmt/format.h>

#include <sstream>

namespace blockformer {

std::string HelpFormatter::make_option(const CLI::Option* option, bool is_positional) const {
  if (is_positional || !option->get_positional()) {
    return CLI::Formatter::make_option(option, is_positional);
  }
  const bool is_list = option->get_expected_max() == CLI::detail::expected_max_vector_size;
  std::ostringstream help;
  CLI::detail::format_help(
      help,
      fmt::format("{} {}{}", make_option_name(option, is_positional), option->get_type_name(),
                  is_list ? " ..." : ""),
      fmt::format("The same as {} by its place", make_option_name(option, /*is_positional=*/true)),
      column_width_);
  return help.str();
}

}  // namespace blockformer
