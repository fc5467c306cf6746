# SPDX-License-Identifier: Apache-2.0
# lwIP from its released source. Search order: -DLATTICE_LWIP_DIR, the environment's LATTICE_LWIP_DIR,
# third_party/lwip and the cache that tools/get-lwip fills, FetchContent (only when
# -DLATTICE_FETCH_DEPS=ON). Our patches are applied to a copy in the build tree, never to the source.
set(LATTICE_LWIP_DIR "" CACHE PATH "lwIP 2.1.3 source tree (empty: search)")
set(LATTICE_LWIP_URL "" CACHE STRING "Where lwIP's archive is, for LATTICE_FETCH_DEPS (a URL or a file)")
option(LATTICE_FETCH_DEPS "Let CMake download what is missing" OFF)

set(LATTICE_LWIP_SHA256 0a8276d09fc4e97bbba2f953d74af2388fc2195ea156be9d7589e297a68fde24)

if(DEFINED ENV{XDG_CACHE_HOME})
    set(lwip_cache $ENV{XDG_CACHE_HOME}/lattice)
else()
    set(lwip_cache $ENV{HOME}/.cache/lattice)
endif()
set(lwip_source)
foreach(dir "${LATTICE_LWIP_DIR}" "$ENV{LATTICE_LWIP_DIR}" "${CMAKE_SOURCE_DIR}/third_party/lwip"
        "${lwip_cache}/lwip-2.1.3+dfsg1")
    if(NOT lwip_source AND dir AND EXISTS "${dir}/src/core/tcp.c")
        set(lwip_source "${dir}")
    endif()
endforeach()
if(LATTICE_LWIP_DIR AND NOT lwip_source STREQUAL LATTICE_LWIP_DIR)
    message(FATAL_ERROR "LATTICE_LWIP_DIR=${LATTICE_LWIP_DIR} holds no lwIP source (src/core/tcp.c).")
endif()
if(NOT lwip_source AND LATTICE_FETCH_DEPS)
    if(NOT LATTICE_LWIP_URL)
        message(FATAL_ERROR "LATTICE_FETCH_DEPS=ON needs -DLATTICE_LWIP_URL=<lwip_2.1.3+dfsg1.orig.tar.xz>.")
    endif()
    include(FetchContent)
    FetchContent_Declare(lwip_archive URL ${LATTICE_LWIP_URL} URL_HASH SHA256=${LATTICE_LWIP_SHA256})
    FetchContent_GetProperties(lwip_archive)
    if(NOT lwip_archive_POPULATED)
        FetchContent_Populate(lwip_archive)
    endif()
    set(lwip_source ${lwip_archive_SOURCE_DIR})
endif()
if(NOT lwip_source)
    message(FATAL_ERROR "lwIP's source was not found.\n"
        "Run tools/get-lwip (Debian; no privilege needed), or give -DLATTICE_LWIP_DIR=<lwIP 2.1.3 tree>, "
        "or -DLATTICE_FETCH_DEPS=ON -DLATTICE_LWIP_URL=<archive>.")
endif()

# A patched copy, made again when the source or a patch changes.
file(GLOB lwip_patches CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/netstack/lwip/patches/*.patch)
list(SORT lwip_patches)
set(lwip_stamp "${lwip_source}")
foreach(patch ${lwip_patches})
    file(SHA256 ${patch} hash)
    string(APPEND lwip_stamp " ${hash}")
    set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${patch})
endforeach()
set(LWIP_DIR ${CMAKE_BINARY_DIR}/lwip-source)
set(lwip_have)
if(EXISTS ${LWIP_DIR}/.stamp)
    file(READ ${LWIP_DIR}/.stamp lwip_have)
endif()
if(NOT lwip_have STREQUAL lwip_stamp)
    file(REMOVE_RECURSE ${LWIP_DIR})
    file(COPY ${lwip_source}/src DESTINATION ${LWIP_DIR} NO_SOURCE_PERMISSIONS)
    find_program(PATCH_PROGRAM patch REQUIRED)
    # The released files end their lines with CR LF.
    execute_process(COMMAND find src -type f -exec sed -i "s/\\r$//" {} +
        WORKING_DIRECTORY ${LWIP_DIR} COMMAND_ERROR_IS_FATAL ANY)
    foreach(patch ${lwip_patches})
        execute_process(COMMAND ${PATCH_PROGRAM} --batch --fuzz=0 -p1 -i ${patch}
            WORKING_DIRECTORY ${LWIP_DIR} RESULT_VARIABLE failed OUTPUT_VARIABLE said ERROR_VARIABLE said)
        if(failed)
            message(FATAL_ERROR "${patch} does not apply to ${lwip_source}:\n${said}")
        endif()
    endforeach()
    file(WRITE ${LWIP_DIR}/.stamp "${lwip_stamp}")
endif()
