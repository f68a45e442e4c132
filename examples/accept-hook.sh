#!/bin/sh
# Accepts the connections that some principals ask for: a hook for `on_event`. Its user must act for
# the provider. The event is one JSON object on standard input.
event=$(cat)

field() {
    printf '%s' "$event" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"
}

[ "$(field kind)" = connection-requested ] || exit 0
case $(field principal) in
    acme | globex)
        exec privatelink accept "$(field endpoint)" --reason "accepted by a hook"
        ;;
esac
