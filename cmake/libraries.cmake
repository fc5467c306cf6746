# SPDX-License-Identifier: Apache-2.0
# Foreign libraries, each as one imported target, and the helper that declares a room of the house.
find_package(PkgConfig REQUIRED)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(CAPNG REQUIRED IMPORTED_TARGET libcap-ng)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto>=3.0)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(JWT REQUIRED IMPORTED_TARGET libjwt)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET libmicrohttpd)
pkg_check_modules(CURL REQUIRED libcurl>=7.85) # headers only: opened at run time (base/http_client.c)
# nats.c has had its pkg-config file under two names.
pkg_search_module(NATS REQUIRED IMPORTED_TARGET libnats nats)

# The name under which a library that is opened at run time is found: that of the one whose headers we compile with.
function(lattice_soname ret)
    foreach(file ${ARGN})
        execute_process(COMMAND ${CMAKE_OBJDUMP} -p ${file} OUTPUT_VARIABLE dump ERROR_QUIET)
        if(dump MATCHES "SONAME +([^ \n]+)")
            set(${ret} ${CMAKE_MATCH_1} PARENT_SCOPE)
            return()
        endif()
    endforeach()
    message(FATAL_ERROR "No SONAME in: ${ARGN}")
endfunction()
list(GET NATS_LINK_LIBRARIES 0 nats_library)
lattice_soname(NATS_SONAME ${nats_library})

set(LATTICE_FORCED_INCLUDE ${CMAKE_SOURCE_DIR}/base/banned.h)

# lattice_room(NAME SOURCES… LINK libs…): a static library with our flags; includes start at the root.
function(lattice_room name)
    cmake_parse_arguments(ROOM "" "" "SOURCES;LINK" ${ARGN})
    add_library(${name} STATIC ${ROOM_SOURCES})
    target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
    target_compile_definitions(${name} PUBLIC _GNU_SOURCE)
    target_compile_options(${name} PRIVATE -include ${LATTICE_FORCED_INCLUDE})
    target_link_libraries(${name} PUBLIC lattice_hardening PRIVATE lattice_warnings)
    target_link_libraries(${name} PUBLIC ${ROOM_LINK})
endfunction()

# lattice_program(NAME SOURCES… LINK libs…)
function(lattice_program name)
    cmake_parse_arguments(PROG "" "" "SOURCES;LINK" ${ARGN})
    add_executable(${name} ${PROG_SOURCES})
    target_compile_definitions(${name} PRIVATE _GNU_SOURCE LATTICE_VERSION="${PROJECT_VERSION}")
    target_compile_options(${name} PRIVATE -include ${LATTICE_FORCED_INCLUDE})
    target_link_libraries(${name} PRIVATE lattice_hardening lattice_warnings ${PROG_LINK})
    target_link_options(${name} PRIVATE -Wl,--as-needed) # rooms name more than one program uses
endfunction()
