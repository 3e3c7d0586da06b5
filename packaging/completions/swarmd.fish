# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_swarmd_global_optspecs
    string join \n h/help V/version
end

function __fish_swarmd_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_swarmd_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_swarmd_using_subcommand
    set -l cmd (__fish_swarmd_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c swarmd -n "__fish_swarmd_needs_command" -s h -l help -d 'Print help'
complete -c swarmd -n "__fish_swarmd_needs_command" -s V -l version -d 'Print version'
complete -c swarmd -n "__fish_swarmd_needs_command" -f -a "init" -d 'Found a cluster with this machine as its first manager'
complete -c swarmd -n "__fish_swarmd_needs_command" -f -a "join" -d 'Join a cluster as a worker or a manager, whichever the token says'
complete -c swarmd -n "__fish_swarmd_needs_command" -f -a "run" -d 'Go on where this machine was: after a restart or a reboot'
complete -c swarmd -n "__fish_swarmd_needs_command" -f -a "leave" -d 'Stop the tasks of this stopped machine and make it forget its cluster'
complete -c swarmd -n "__fish_swarmd_needs_command" -f -a "dev" -d 'Try it out: a throw-away cluster on this machine with a demo service'
complete -c swarmd -n "__fish_swarmd_needs_command" -f -a "completion" -d 'Print completions for a shell'
complete -c swarmd -n "__fish_swarmd_needs_command" -f -a "man" -d 'Write man pages'
complete -c swarmd -n "__fish_swarmd_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmd -n "__fish_swarmd_using_subcommand init" -l log-format -d 'Log format on standard error' -r -f -a "text\t'For people'
json\t'One JSON object per line'"
complete -c swarmd -n "__fish_swarmd_using_subcommand init" -l log-level -d 'Log level: error, warn, info, debug, trace, or a filter such as `info,raft=debug`' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand init" -l state-dir -d 'Directory of everything the node keeps' -r -F
complete -c swarmd -n "__fish_swarmd_using_subcommand init" -l listen-addr -d 'Address the manager listens on, IP:PORT [default: 0.0.0.0:2377]' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand init" -l advertise-addr -d 'Address at which others reach the manager, HOST[:PORT] [default: as given before, else this machine\'s own]' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand init" -l control-socket -d 'Unix socket for swarmctl' -r -F
complete -c swarmd -n "__fish_swarmd_using_subcommand init" -l executor -d 'What runs tasks: Docker Engine, processes of this machine, or pretence for tests. `auto` chooses when the node founds or joins, and stays with it' -r -f -a "auto\t'Docker Engine where one answers, else processes'
docker\t'Containers of the Docker Engine'
process\t'Child processes'
sim\t'Nothing at all: tasks are pretended'"
complete -c swarmd -n "__fish_swarmd_using_subcommand init" -l docker-host -d 'Docker Engine, unix:///PATH or tcp://HOST:PORT' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand init" -l hostname -d 'Host name to report instead of the machine\'s' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand init" -l label -d 'Engine label to report, KEY=VALUE; repeatable' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand init" -l availability -d 'Whether the node takes tasks' -r -f -a "active\t'Takes tasks'
pause\t'Takes no new tasks'
drain\t'Takes no tasks'"
complete -c swarmd -n "__fish_swarmd_using_subcommand init" -l metrics-addr -d 'Serve metrics for Prometheus at this address' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand init" -s d -l detach -d 'Return when the node is ready and leave it running in the background'
complete -c swarmd -n "__fish_swarmd_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c swarmd -n "__fish_swarmd_using_subcommand init" -s V -l version -d 'Print version'
complete -c swarmd -n "__fish_swarmd_using_subcommand join" -l token -d 'Join token, from `swarmctl join-token worker|manager`' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand join" -l log-format -d 'Log format on standard error' -r -f -a "text\t'For people'
json\t'One JSON object per line'"
complete -c swarmd -n "__fish_swarmd_using_subcommand join" -l log-level -d 'Log level: error, warn, info, debug, trace, or a filter such as `info,raft=debug`' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand join" -l state-dir -d 'Directory of everything the node keeps' -r -F
complete -c swarmd -n "__fish_swarmd_using_subcommand join" -l listen-addr -d 'Address the manager listens on, IP:PORT [default: 0.0.0.0:2377]' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand join" -l advertise-addr -d 'Address at which others reach the manager, HOST[:PORT] [default: as given before, else this machine\'s own]' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand join" -l control-socket -d 'Unix socket for swarmctl' -r -F
complete -c swarmd -n "__fish_swarmd_using_subcommand join" -l executor -d 'What runs tasks: Docker Engine, processes of this machine, or pretence for tests. `auto` chooses when the node founds or joins, and stays with it' -r -f -a "auto\t'Docker Engine where one answers, else processes'
docker\t'Containers of the Docker Engine'
process\t'Child processes'
sim\t'Nothing at all: tasks are pretended'"
complete -c swarmd -n "__fish_swarmd_using_subcommand join" -l docker-host -d 'Docker Engine, unix:///PATH or tcp://HOST:PORT' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand join" -l hostname -d 'Host name to report instead of the machine\'s' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand join" -l label -d 'Engine label to report, KEY=VALUE; repeatable' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand join" -l availability -d 'Whether the node takes tasks' -r -f -a "active\t'Takes tasks'
pause\t'Takes no new tasks'
drain\t'Takes no tasks'"
complete -c swarmd -n "__fish_swarmd_using_subcommand join" -l metrics-addr -d 'Serve metrics for Prometheus at this address' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand join" -s d -l detach -d 'Return when the node is ready and leave it running in the background'
complete -c swarmd -n "__fish_swarmd_using_subcommand join" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c swarmd -n "__fish_swarmd_using_subcommand join" -s V -l version -d 'Print version'
complete -c swarmd -n "__fish_swarmd_using_subcommand run" -l log-format -d 'Log format on standard error' -r -f -a "text\t'For people'
json\t'One JSON object per line'"
complete -c swarmd -n "__fish_swarmd_using_subcommand run" -l log-level -d 'Log level: error, warn, info, debug, trace, or a filter such as `info,raft=debug`' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand run" -l state-dir -d 'Directory of everything the node keeps' -r -F
complete -c swarmd -n "__fish_swarmd_using_subcommand run" -l listen-addr -d 'Address the manager listens on, IP:PORT [default: 0.0.0.0:2377]' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand run" -l advertise-addr -d 'Address at which others reach the manager, HOST[:PORT] [default: as given before, else this machine\'s own]' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand run" -l control-socket -d 'Unix socket for swarmctl' -r -F
complete -c swarmd -n "__fish_swarmd_using_subcommand run" -l executor -d 'What runs tasks: Docker Engine, processes of this machine, or pretence for tests. `auto` chooses when the node founds or joins, and stays with it' -r -f -a "auto\t'Docker Engine where one answers, else processes'
docker\t'Containers of the Docker Engine'
process\t'Child processes'
sim\t'Nothing at all: tasks are pretended'"
complete -c swarmd -n "__fish_swarmd_using_subcommand run" -l docker-host -d 'Docker Engine, unix:///PATH or tcp://HOST:PORT' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand run" -l hostname -d 'Host name to report instead of the machine\'s' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand run" -l label -d 'Engine label to report, KEY=VALUE; repeatable' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand run" -l availability -d 'Whether the node takes tasks' -r -f -a "active\t'Takes tasks'
pause\t'Takes no new tasks'
drain\t'Takes no tasks'"
complete -c swarmd -n "__fish_swarmd_using_subcommand run" -l metrics-addr -d 'Serve metrics for Prometheus at this address' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand run" -l force-new-cluster -d 'Go on as the only manager and remove all others: when a majority of them is lost for good'
complete -c swarmd -n "__fish_swarmd_using_subcommand run" -s d -l detach -d 'Return when the node is ready and leave it running in the background'
complete -c swarmd -n "__fish_swarmd_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c swarmd -n "__fish_swarmd_using_subcommand run" -s V -l version -d 'Print version'
complete -c swarmd -n "__fish_swarmd_using_subcommand leave" -l state-dir -d 'Directory of everything the node keeps' -r -F
complete -c swarmd -n "__fish_swarmd_using_subcommand leave" -l docker-host -d 'Docker Engine that runs its tasks [default: as before]' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand leave" -s f -l force -d 'Leave although this machine is a manager, or its tasks cannot be stopped'
complete -c swarmd -n "__fish_swarmd_using_subcommand leave" -s h -l help -d 'Print help'
complete -c swarmd -n "__fish_swarmd_using_subcommand leave" -s V -l version -d 'Print version'
complete -c swarmd -n "__fish_swarmd_using_subcommand dev" -l managers -d 'Managers' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand dev" -l workers -d 'Workers' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand dev" -l executor -d 'What runs the demo\'s tasks' -r -f -a "auto\t'Docker Engine where one answers, else processes'
docker\t'Containers of the Docker Engine'
process\t'Child processes'
sim\t'Nothing at all: tasks are pretended'"
complete -c swarmd -n "__fish_swarmd_using_subcommand dev" -l image -d 'Image of the demo service; with the process executor only its command runs' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand dev" -l timeout -d 'How long the demo service may take to converge, in seconds' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand dev" -l log-level -d 'Log level of the nodes; their logs go to files' -r
complete -c swarmd -n "__fish_swarmd_using_subcommand dev" -l exit -d 'End when the demo service has converged, with the exit code of the result'
complete -c swarmd -n "__fish_swarmd_using_subcommand dev" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c swarmd -n "__fish_swarmd_using_subcommand dev" -s V -l version -d 'Print version'
complete -c swarmd -n "__fish_swarmd_using_subcommand completion" -s h -l help -d 'Print help'
complete -c swarmd -n "__fish_swarmd_using_subcommand completion" -s V -l version -d 'Print version'
complete -c swarmd -n "__fish_swarmd_using_subcommand man" -s h -l help -d 'Print help'
complete -c swarmd -n "__fish_swarmd_using_subcommand man" -s V -l version -d 'Print version'
complete -c swarmd -n "__fish_swarmd_using_subcommand help; and not __fish_seen_subcommand_from init join run leave dev completion man help" -f -a "init" -d 'Found a cluster with this machine as its first manager'
complete -c swarmd -n "__fish_swarmd_using_subcommand help; and not __fish_seen_subcommand_from init join run leave dev completion man help" -f -a "join" -d 'Join a cluster as a worker or a manager, whichever the token says'
complete -c swarmd -n "__fish_swarmd_using_subcommand help; and not __fish_seen_subcommand_from init join run leave dev completion man help" -f -a "run" -d 'Go on where this machine was: after a restart or a reboot'
complete -c swarmd -n "__fish_swarmd_using_subcommand help; and not __fish_seen_subcommand_from init join run leave dev completion man help" -f -a "leave" -d 'Stop the tasks of this stopped machine and make it forget its cluster'
complete -c swarmd -n "__fish_swarmd_using_subcommand help; and not __fish_seen_subcommand_from init join run leave dev completion man help" -f -a "dev" -d 'Try it out: a throw-away cluster on this machine with a demo service'
complete -c swarmd -n "__fish_swarmd_using_subcommand help; and not __fish_seen_subcommand_from init join run leave dev completion man help" -f -a "completion" -d 'Print completions for a shell'
complete -c swarmd -n "__fish_swarmd_using_subcommand help; and not __fish_seen_subcommand_from init join run leave dev completion man help" -f -a "man" -d 'Write man pages'
complete -c swarmd -n "__fish_swarmd_using_subcommand help; and not __fish_seen_subcommand_from init join run leave dev completion man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
