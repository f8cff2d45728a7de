#!/usr/bin/env bash
# readme.sh README OUT: writes the C++ of a README into OUT, for tests/consumers to compile and run. The fence decides:
#   ```cpp          a whole program, int main and all: compiled and run
#   ```cpp body     statements:   compiled as the body of a function
#   ```cpp scope    declarations: compiled at namespace scope
#   ```text output  what the program above it prints, to the letter
#   ```python       the other half of the program above it: tests/torch runs both
# Bodies and scopes follow the includes of the three rooms and `using namespace retrace;`; they are not run.
set -euo pipefail
readme=$1 out=$2

rm -rf "$out"
mkdir -p "$out"
awk -v out="$out" '
  function complain(text) { print FILENAME ":" NR ": " text; failed = 1; exit 1 }
  function write_block() {
    file = sprintf("%s/block_%d.cpp", out, start)
    line = "#line " start + 1 " \"" FILENAME "\""
    if (kind == "") {
      if (text !~ /int main/) complain("this cpp block is no program: mark its fence \"cpp body\" or \"cpp scope\"")
      ++programs
      program = sprintf("%s/block_%d", out, start)
      last = program ".out"
      print line > file
      printf "%s", text > file
    } else {
      printf "#include <retrace/core.hpp>\n#include <retrace/layers.hpp>\n#include <retrace/optim.hpp>\n" \
             "#include <cmath>\n#include <string>\n#include <vector>\nusing namespace retrace;\n" > file
      if (kind == "body") printf "[[maybe_unused]] static void body() {\n" > file
      print line > file
      printf "%s", text > file
      if (kind == "body") print "}" > file
      print "int main() {}" > file
    }
    close(file)
  }
  !inside && /^ *```./ {
    inside = 1; start = NR; text = ""; language = substr($1, 4); kind = $2
    if (language == "cpp" && kind != "" && kind != "body" && kind != "scope") complain("no such kind of block: " kind)
    next
  }
  inside && /^ *```$/ {
    inside = 0
    if (language == "cpp") write_block()
    if (language == "python") {
      if (program == "") complain("half of no program")
      script = program ".py"
      printf "%s", text > script
      close(script)
    }
    if (language == "text" && kind == "output") {
      if (last == "") complain("output of no program")
      printf "%s", text > last
      close(last)
    }
    next
  }
  inside { text = text $0 "\n" }
  END {
    if (failed) exit 1
    if (inside) { print FILENAME ":" start ": this block is never closed"; exit 1 }
    if (!programs) { print FILENAME ": no program in it"; exit 1 }
    print programs " programs"
  }' "$readme"
