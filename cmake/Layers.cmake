# Layers: which folder may include which.
#
# A folder's headers are found as "<layer>/file.h" through a directory that holds one link
# to that folder. A library sees only the directories of the libraries that it links, so an
# #include that crosses a layer does not compile; what would get round that, a path with
# "..", is refused here.

# estreat_layer(<name> <folder> SOURCES <files...> DEPENDS <libraries...>)
# Makes the static library estreat_<name> out of <folder>.
function(estreat_layer name folder)
    cmake_parse_arguments(LAYER "" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
    set(view ${CMAKE_BINARY_DIR}/layers/${name})
    file(MAKE_DIRECTORY ${view})
    file(CREATE_LINK ${folder} ${view}/${name} SYMBOLIC)
    add_library(estreat_${name} STATIC ${LAYER_SOURCES})
    target_include_directories(estreat_${name} PUBLIC ${view})
    target_link_libraries(estreat_${name} PUBLIC ${LAYER_DEPENDS}
                          PRIVATE estreat_flags ${LAYER_PRIVATE_DEPENDS})
    foreach(source ${LAYER_SOURCES})
        estreat_refuse_upward_includes(${source})
    endforeach()
    file(GLOB_RECURSE headers CONFIGURE_DEPENDS ${folder}/*.h)
    foreach(header ${headers})
        estreat_refuse_upward_includes(${header})
    endforeach()
endfunction()

function(estreat_refuse_upward_includes file)
    file(STRINGS ${file} upward REGEX "^[ \t]*#[ \t]*include[ \t]*[<\"][^>\"]*\\.\\./")
    if(upward)
        message(FATAL_ERROR "${file} reaches around its layer: ${upward}")
    endif()
endfunction()
