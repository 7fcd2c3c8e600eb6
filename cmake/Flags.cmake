# One interface target carries the flags; every library of ours links it.
add_library(estreat_flags INTERFACE)
target_compile_definitions(estreat_flags INTERFACE _GNU_SOURCE)
target_compile_options(estreat_flags INTERFACE
    -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
    -Wformat=2 -Wundef -fno-strict-aliasing -fvisibility=hidden)

option(ESTREAT_WERROR "Warnings are errors" OFF)
if(ESTREAT_WERROR)
    target_compile_options(estreat_flags INTERFACE -Werror)
endif()

# Sanitizers: a list as the compiler takes it, e.g. "address,undefined" or "thread".
set(ESTREAT_SANITIZE "" CACHE STRING "Sanitizers to build with")
if(ESTREAT_SANITIZE)
    add_compile_options(-fsanitize=${ESTREAT_SANITIZE} -fno-omit-frame-pointer
                        -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${ESTREAT_SANITIZE})
endif()

option(ESTREAT_COVERAGE "Count which lines run" OFF)
if(ESTREAT_COVERAGE)
    add_compile_options(--coverage)
    add_link_options(--coverage)
endif()

option(ESTREAT_FUZZ "Build the libFuzzer targets (clang)" OFF)
if(ESTREAT_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()
