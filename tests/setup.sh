# Sourced by the scripts: need PACKAGE... installs the Debian packages that are not there yet.

as_root() { if ((EUID)); then sudo "$@"; else "$@"; fi; }

need() {
  local package missing=()
  for package; do
    [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == *' installed' ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0

  if ! command -v apt-get >/dev/null; then
    echo "This needs the Debian packages ${missing[*]}, and there is no apt-get to install them with." >&2
    echo 'On another system, install what they are called there, and use CMake itself: see CMakePresets.json.' >&2
    return 1
  fi
  if ((EUID)) && ! command -v sudo >/dev/null; then
    echo "Packages are missing, and only root may install them: apt-get install ${missing[*]}" >&2
    return 1
  fi
  # Packages named as PACKAGE:ARCHITECTURE are of another one than this machine's.
  local architecture known
  known=" $(dpkg --print-foreign-architectures | tr '\n' ' ')"
  for package in "${missing[@]}"; do
    architecture=${package#*:}
    if [[ $architecture != "$package" && $known != *" $architecture "* ]]; then
      as_root dpkg --add-architecture "$architecture"
      known+="$architecture "
    fi
  done
  echo "Installing ${missing[*]}"
  local log
  log=$(mktemp)
  # Whether the lists could be renewed does not matter: old ones may do.
  if ! {
    as_root apt-get -q update
    as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get -q -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "${missing[@]}"
  } >"$log" 2>&1; then
    cat "$log" >&2
    echo "These packages could not be installed: ${missing[*]}" >&2
    return 1
  fi
  rm "$log"
}

need_to_build() {
  need g++ cmake ninja-build libfmt-dev nlohmann-json3-dev libopenblas-dev libcli11-dev doctest-dev "$@"
}

# two_at_a_time COMMAND ROOM...: runs COMMAND with % for the room. Each has one thread of OpenBLAS, whose own ones look
# like races to the sanitizers, and hang under emulation.
two_at_a_time() {
  local logs failed=0
  logs=$(mktemp -d)
  printf '%s\n' "${@:2}" | OPENBLAS_NUM_THREADS=1 xargs -P 2 -I % sh -c "$1 --no-colors=true >$logs/% 2>&1" || failed=1
  cat "$logs"/*
  rm -r "$logs"
  return $failed
}
