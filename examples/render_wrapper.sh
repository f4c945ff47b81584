#!/bin/sh
# Render a scene as a tracked job: render_wrapper.sh SCENE OUTPUT_FOLDER [OPTION OF THE RENDERER]...
#
# Call it where you would call the renderer. RENDERER names that (kick, say); CALLSHEET_URL names the tracker.
# The renderer prints lines such as "00:12  34% done - 40 rays/pixel". Whatever becomes of the tracker, the
# frames are rendered, and this script exits with the renderer's exit code.
set -eu
scene=$1 out=$2
shift 2
mkdir -p "$out"

exec callsheet run \
    --name "Render $(basename "$scene")" \
    --type render \
    --attribute scene="$scene" \
    --progress-pattern '(\d+)% done' \
    --attach "$out/*.exr" \
    --attach-log \
    -- "${RENDERER:-kick}" -i "$scene" -o "$out" "$@"
