#include "svg.hpp"

#include "utf8.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace history {
namespace {

/// Text for XML; characters that XML cannot hold, and what is no UTF-8, become U+FFFD.
std::string escaped(std::string_view text) {
  std::string xml;
  while (!text.empty()) {
    const std::size_t length = code_point_length(text);
    const std::string_view c = text.substr(0, std::max<std::size_t>(length, 1));
    text.remove_prefix(c.size());
    const bool is_control = length == 1 && static_cast<unsigned char>(c[0]) < 0x20;
    if (length == 0 || is_control || c == "\xEF\xBF\xBE" || c == "\xEF\xBF\xBF") {
      xml += "\xEF\xBF\xBD";
    } else if (c == "&") {
      xml += "&amp;";
    } else if (c == "<") {
      xml += "&lt;";
    } else {
      xml += c;
    }
  }
  return xml;
}

std::string attributes(const Stroke& stroke) {
  std::string text = fmt::format(R"(stroke="{}" stroke-width="{}")", stroke.colour, stroke.width);
  if (stroke.opacity < 1) text += fmt::format(R"( stroke-opacity="{}")", stroke.opacity);
  if (!stroke.dashes.empty()) text += fmt::format(R"( stroke-dasharray="{}")", stroke.dashes);
  return text;
}

}  // namespace

Svg::Svg(int width, int height, std::string_view title) {
  svg_ = fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img">
<title>{2}</title>
<style>
text {{ font: 12px 'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif; fill: #4a5560 }}
text.heading {{ font-size: 17px; font-weight: bold; fill: #1a202c }}
path {{ fill: none; stroke-linecap: round; stroke-linejoin: round }}
</style>
<rect width="{0}" height="{1}" fill="#fff"/>
)",
      width, height, escaped(title));
}

void Svg::line(Pixel from, Pixel to, const Stroke& stroke) {
  svg_ += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n",
                      from.x, from.y, to.x, to.y, attributes(stroke));
}

void Svg::path(const std::vector<Pixel>& points, const Stroke& stroke) {
  std::string steps;
  bool pen_down = false;
  for (const Pixel& point : points) {
    const bool drawn = std::isfinite(point.x) && std::isfinite(point.y);
    if (drawn) {
      steps += pen_down ? 'L' : 'M';
      steps += fmt::format("{:.1f} {:.1f}", point.x, point.y);
      if (!pen_down) steps += "h0";  // with round ends, a line of no length is a dot
    }
    pen_down = drawn;
  }
  if (!steps.empty()) svg_ += fmt::format("<path {} d=\"{}\"/>\n", attributes(stroke), steps);
}

void Svg::dot(Pixel centre, double radius, std::string_view colour) {
  svg_ +=
      fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" fill=\"{}\" stroke=\"#fff\"/>\n",
                  centre.x, centre.y, radius, colour);
}

void Svg::text(Pixel at, std::string_view text, Anchor anchor) {
  const std::string_view place = anchor == Anchor::start    ? ""
                                 : anchor == Anchor::middle ? " text-anchor=\"middle\""
                                                            : " text-anchor=\"end\"";
  svg_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\"{}>{}</text>\n", at.x, at.y, place,
                      escaped(text));
}

void Svg::heading(Pixel at, std::string_view text) {
  svg_ += fmt::format("<text class=\"heading\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", at.x, at.y,
                      escaped(text));
}

void Svg::upward_text(Pixel at, std::string_view text) {
  svg_ += fmt::format(
      "<text text-anchor=\"middle\" transform=\"translate({:.1f} {:.1f}) rotate(-90)\">{}</text>\n",
      at.x, at.y, escaped(text));
}

}  // namespace history
