# SPDX-License-Identifier: Apache-2.0
# The warnings that every file of ours is held to. Those that only one compiler knows are probed for.
include(CheckCCompilerFlag)

add_library(lattice_warnings INTERFACE)
set(LATTICE_WARNINGS
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
    -Walloca -Wformat=2 -Wimplicit-fallthrough -Wswitch-enum -Wundef -Wcast-qual -Wwrite-strings
    -Wpointer-arith -Wnull-dereference -Wcast-align=strict -Wduplicated-cond -Wduplicated-branches
    -Wlogical-op -Wframe-larger-than=8192)
foreach(flag ${LATTICE_WARNINGS})
    string(MAKE_C_IDENTIFIER "have${flag}" have)
    check_c_compiler_flag(${flag} ${have})
    if(${have})
        target_compile_options(lattice_warnings INTERFACE ${flag})
    endif()
endforeach()
# Statement expressions and zero-argument variadic macros are used on purpose (base/).
target_compile_options(lattice_warnings INTERFACE -Wno-gnu-zero-variadic-macro-arguments)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_compile_options(lattice_warnings INTERFACE -Wno-pedantic)
endif()
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
    # struct cmsghdr ends in a flexible array, and is kept in a union with its buffer as cmsg(3) shows.
    target_compile_options(lattice_warnings INTERFACE -Wno-flexible-array-extensions)
endif()
if(LATTICE_WERROR)
    target_compile_options(lattice_warnings INTERFACE -Werror)
endif()
# Sanitizers change what the flow analysis sees; its guesses are checked in the other builds.
if(LATTICE_SANITIZE)
    target_compile_options(lattice_warnings INTERFACE -Wno-null-dereference)
    if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
        target_compile_options(lattice_warnings INTERFACE -Wno-error=frame-larger-than=8192)
    else()
        target_compile_options(lattice_warnings INTERFACE -Wno-frame-larger-than) # clang has no limit here
    endif()
endif()
