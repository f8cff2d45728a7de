// The few shapes of SVG that a chart is made of.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace history {

/// Colour and width of a drawn line.
struct Stroke {
  std::string_view colour = "#4a5560";
  double width = 1;
  double opacity = 1;
  std::string_view dashes = "";  ///< lengths of dash and gap, "6 4"; empty for a solid line
};

/// A position in pixels from the top left corner. One that is not finite interrupts a path.
struct Pixel {
  double x = 0;
  double y = 0;
};

/// Where a text lies relative to its position.
enum class Anchor { start, middle, end };

/// A picture that grows shape by shape, later ones above earlier ones.
class Svg {
 public:
  /// An empty white picture; `title` is for readers that do not see it.
  Svg(int width, int height, std::string_view title);

  void line(Pixel from, Pixel to, const Stroke& stroke);
  /// Joins the points; a point without neighbours becomes a dot as wide as the line.
  void path(const std::vector<Pixel>& points, const Stroke& stroke);
  void dot(Pixel centre, double radius, std::string_view colour);
  void text(Pixel at, std::string_view text, Anchor anchor = Anchor::start);
  void heading(Pixel at, std::string_view text);
  /// Text that reads upwards.
  void upward_text(Pixel at, std::string_view text);

  /// The file: the shapes so far.
  std::string str() const { return svg_ + "</svg>\n"; }

 private:
  std::string svg_;
};

}  // namespace history
