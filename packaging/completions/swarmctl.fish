# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_swarmctl_global_optspecs
    string join \n s/socket= h/help V/version
end

function __fish_swarmctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_swarmctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_swarmctl_using_subcommand
    set -l cmd (__fish_swarmctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c swarmctl -n "__fish_swarmctl_needs_command" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_needs_command" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_needs_command" -s V -l version -d 'Print version'
complete -c swarmctl -n "__fish_swarmctl_needs_command" -f -a "service" -d 'Create, change, watch and remove services'
complete -c swarmctl -n "__fish_swarmctl_needs_command" -f -a "node" -d 'Look at nodes, promote, demote, drain and remove them'
complete -c swarmctl -n "__fish_swarmctl_needs_command" -f -a "task" -d 'Look at single tasks and find out what they wait for'
complete -c swarmctl -n "__fish_swarmctl_needs_command" -f -a "cluster" -d 'Look at the cluster, change its settings, move its leadership'
complete -c swarmctl -n "__fish_swarmctl_needs_command" -f -a "join-token" -d 'Show how a machine joins, or make the token for it anew'
complete -c swarmctl -n "__fish_swarmctl_needs_command" -f -a "secret" -d 'Create, list and remove secrets'
complete -c swarmctl -n "__fish_swarmctl_needs_command" -f -a "config" -d 'Create, list and remove configs'
complete -c swarmctl -n "__fish_swarmctl_needs_command" -f -a "network" -d 'Look at networks'
complete -c swarmctl -n "__fish_swarmctl_needs_command" -f -a "version" -d 'Show the versions of this program and of the manager'
complete -c swarmctl -n "__fish_swarmctl_needs_command" -f -a "completion" -d 'Print the completion script of a shell'
complete -c swarmctl -n "__fish_swarmctl_needs_command" -f -a "man" -d 'Write the manual pages into a directory'
complete -c swarmctl -n "__fish_swarmctl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and not __fish_seen_subcommand_from create update plan scale rollback ls ps inspect rm logs help" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and not __fish_seen_subcommand_from create update plan scale rollback ls ps inspect rm logs help" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and not __fish_seen_subcommand_from create update plan scale rollback ls ps inspect rm logs help" -f -a "create" -d 'Create a service and wait until it runs'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and not __fish_seen_subcommand_from create update plan scale rollback ls ps inspect rm logs help" -f -a "update" -d 'Change a service and wait until the change has arrived'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and not __fish_seen_subcommand_from create update plan scale rollback ls ps inspect rm logs help" -f -a "plan" -d 'Show what a change of a service would do, and change nothing (as `update --dry-run`)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and not __fish_seen_subcommand_from create update plan scale rollback ls ps inspect rm logs help" -f -a "scale" -d 'Set the number of tasks of one or more services (SERVICE=N)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and not __fish_seen_subcommand_from create update plan scale rollback ls ps inspect rm logs help" -f -a "rollback" -d 'Go back to the spec before the last update'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and not __fish_seen_subcommand_from create update plan scale rollback ls ps inspect rm logs help" -f -a "ls" -d 'List services'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and not __fish_seen_subcommand_from create update plan scale rollback ls ps inspect rm logs help" -f -a "ps" -d 'List the tasks of services and what they wait for'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and not __fish_seen_subcommand_from create update plan scale rollback ls ps inspect rm logs help" -f -a "inspect" -d 'Show everything about services'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and not __fish_seen_subcommand_from create update plan scale rollback ls ps inspect rm logs help" -f -a "rm" -d 'Remove services and wait until their tasks have stopped'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and not __fish_seen_subcommand_from create update plan scale rollback ls ps inspect rm logs help" -f -a "logs" -d 'Show the output of a service or of a task'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and not __fish_seen_subcommand_from create update plan scale rollback ls ps inspect rm logs help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l name -d 'Name (default: one made up from the image)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l mode -d 'How many tasks there are' -r -f -a "replicated\t''
global\t''
replicated-job\t''
global-job\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l env-file -d 'File with environment variables, one a line' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l replicas -d 'Number of tasks (default 1)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l max-concurrent -d 'Tasks of a job that run at the same time (default: all)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l endpoint-mode -d 'How the name of the service is resolved' -r -f -a "vip\t''
dnsrr\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l hostname -d 'Host name of the containers' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -s u -l user -d 'User, or user and group (format: <name|uid>[:<group|gid>])' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -s w -l workdir -d 'Working directory inside the containers' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l entrypoint -d 'Replace the entry point of the image' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -s t -l tty -d 'Allocate a terminal' -r -f -a "true\t''
false\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l init -d 'Run an init inside the containers that forwards signals and reaps processes' -r -f -a "true\t''
false\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l read-only -d 'Mount the root file system read-only' -r -f -a "true\t''
false\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l stop-signal -d 'Signal that asks a container to stop' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l stop-grace-period -d 'Time between the stop signal and the kill (default 10s)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l isolation -d 'Isolation on Windows' -r -f -a "default\t''
process\t''
hyperv\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l credential-spec -d 'Credential spec for a managed account (config://, file:// or registry://)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l oom-score-adj -d 'Adjust the preference of the kernel for killing the containers (-1000 to 1000)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l log-driver -d 'Logging driver' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l log-opt -d 'Option of the logging driver' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l health-cmd -d 'Command that checks the health, run by a shell' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l health-interval -d 'Time between two checks' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l health-timeout -d 'Longest time for one check' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l health-retries -d 'Failures in a row that make a container unhealthy' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l health-start-period -d 'Time after the start in which failures do not count' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l health-start-interval -d 'Time between two checks during the start period' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l limit-cpu -d 'Most processor cores for a container' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l limit-memory -d 'Most memory for a container' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l limit-pids -d 'Most processes in a container (0 for no limit)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l reserve-cpu -d 'Processor cores set aside on a node' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l reserve-memory -d 'Memory set aside on a node' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l memory-swap -d 'Swap that a container may use (-1 for no limit)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l memory-swappiness -d 'Tendency to swap, from 0 to 100 (-1 for the default of the engine)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l replicas-max-per-node -d 'Most tasks of the service on one node (0 for no limit)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l restart-condition -d 'When a task is replaced (default any)' -r -f -a "none\t''
on-failure\t''
any\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l restart-delay -d 'Pause before a task is replaced (default 5s)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l restart-max-attempts -d 'Replacements before giving up (0 for no limit)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l restart-window -d 'Time within which replacements are counted' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l strategy -d 'How nodes are ranked: fewest tasks first, fullest first, any, or as the cluster says' -r -f -a "spread\t''
binpack\t''
random\t''
default\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l priority -d 'From 0 to 100; a higher one may displace lower ones where the cluster allows preemption' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l rebalance -d 'Whether tasks move to nodes that joined later' -r -f -a "manual\t''
auto\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l schedule -d 'Run the job by this cron expression, such as "*/5 * * * *" ("none" to stop that)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l schedule-timezone -d 'Time zone of the schedule, such as Europe/Berlin (default UTC)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l schedule-concurrency -d 'What happens when a run is due and the one before is not over (default forbid)' -r -f -a "allow\t''
forbid\t''
replace\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l schedule-missed -d 'What happens with runs that were due while no manager led (default once)' -r -f -a "skip\t''
once\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l schedule-history -d 'Finished runs whose tasks are kept (default 3)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l update-progress-deadline -d 'Longest time an update may go without progress (0s for ever)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -s e -l env -d 'Environment variable' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -s l -l label -d 'Label of the service' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l container-label -d 'Label of the containers' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l mount -d 'Mount, such as type=bind,source=/a,target=/b' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -s p -l publish -d 'Published port, such as 8080:80 or target=80,mode=host' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l constraint -d 'Placement constraint, such as node.role==worker' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l affinity -d 'Affinity, such as service==db, image!=~batch or task!=web.1 (with ~: if possible)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l depends-on -d 'Service that must be healthy (or completed) before this one starts' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l placement-pref -d 'Placement preference, such as spread=node.labels.zone' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l generic-resource -d 'Generic resource to set aside' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l secret -d 'Secret, by name or source=…,target=…' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l config -d 'Config, by name or source=…,target=…' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l network -d 'Network, by name or name=…,alias=…' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l host -d 'Line of the hosts file' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l dns -d 'Name server' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l dns-option -d 'Option of the resolver' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l dns-search -d 'Search domain' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l group -d 'Supplementary group' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l cap-add -d 'Linux capability to add' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l cap-drop -d 'Linux capability to drop' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l sysctl -d 'Kernel parameter' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l ulimit -d 'Ulimit' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l update-parallelism -d 'Tasks replaced at the same time by an update (0 for all, default 1)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l update-delay -d 'Pause between two groups of tasks during an update (default 0s)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l update-monitor -d 'Time that a task is watched for failure after an update (default 5s)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l update-failure-action -d 'What happens when an update fails (default pause)' -r -f -a "pause\t''
continue\t''
rollback\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l update-max-failure-ratio -d 'Share of failed tasks that an update tolerates (default 0)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l update-order -d 'Whether an update stops the old task first or starts the new one first (default stop-first)' -r -f -a "stop-first\t''
start-first\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l rollback-parallelism -d 'Tasks replaced at the same time by a rollback (0 for all, default 1)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l rollback-delay -d 'Pause between two groups of tasks during a rollback (default 0s)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l rollback-monitor -d 'Time that a task is watched for failure after a rollback (default 5s)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l rollback-failure-action -d 'What happens when a rollback fails (default pause)' -r -f -a "pause\t''
continue\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l rollback-max-failure-ratio -d 'Share of failed tasks that a rollback tolerates (default 0)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l rollback-order -d 'Whether a rollback stops the old task first or starts the new one first (default stop-first)' -r -f -a "stop-first\t''
start-first\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -s d -l detach -d 'Do not wait' -r -f -a "true\t''
false\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l timeout -d 'Stop waiting after this long, with exit code 3 (default: wait on)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l format -d 'Format of what is shown: "json" or a Go template' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l check-version -d 'Refuse if the service is not at this version any more, as a rehearsal showed it' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l with-registry-auth -d 'Send the registry credentials of this user to the nodes'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l no-resolve-image -d 'Accepted for scripts: images are never resolved by this command'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l no-healthcheck -d 'Disable the check that the image has'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Do not show progress'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -l dry-run -d 'Show what would change and where the tasks would go, and change nothing'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l image -d 'New image' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l args -d 'New command and arguments, as one value' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l replicas -d 'Number of tasks (default 1)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l max-concurrent -d 'Tasks of a job that run at the same time (default: all)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l endpoint-mode -d 'How the name of the service is resolved' -r -f -a "vip\t''
dnsrr\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l hostname -d 'Host name of the containers' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -s u -l user -d 'User, or user and group (format: <name|uid>[:<group|gid>])' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -s w -l workdir -d 'Working directory inside the containers' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l entrypoint -d 'Replace the entry point of the image' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -s t -l tty -d 'Allocate a terminal' -r -f -a "true\t''
false\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l init -d 'Run an init inside the containers that forwards signals and reaps processes' -r -f -a "true\t''
false\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l read-only -d 'Mount the root file system read-only' -r -f -a "true\t''
false\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l stop-signal -d 'Signal that asks a container to stop' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l stop-grace-period -d 'Time between the stop signal and the kill (default 10s)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l isolation -d 'Isolation on Windows' -r -f -a "default\t''
process\t''
hyperv\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l credential-spec -d 'Credential spec for a managed account (config://, file:// or registry://)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l oom-score-adj -d 'Adjust the preference of the kernel for killing the containers (-1000 to 1000)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l log-driver -d 'Logging driver' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l log-opt -d 'Option of the logging driver' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l health-cmd -d 'Command that checks the health, run by a shell' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l health-interval -d 'Time between two checks' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l health-timeout -d 'Longest time for one check' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l health-retries -d 'Failures in a row that make a container unhealthy' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l health-start-period -d 'Time after the start in which failures do not count' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l health-start-interval -d 'Time between two checks during the start period' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l limit-cpu -d 'Most processor cores for a container' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l limit-memory -d 'Most memory for a container' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l limit-pids -d 'Most processes in a container (0 for no limit)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l reserve-cpu -d 'Processor cores set aside on a node' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l reserve-memory -d 'Memory set aside on a node' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l memory-swap -d 'Swap that a container may use (-1 for no limit)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l memory-swappiness -d 'Tendency to swap, from 0 to 100 (-1 for the default of the engine)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l replicas-max-per-node -d 'Most tasks of the service on one node (0 for no limit)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l restart-condition -d 'When a task is replaced (default any)' -r -f -a "none\t''
on-failure\t''
any\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l restart-delay -d 'Pause before a task is replaced (default 5s)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l restart-max-attempts -d 'Replacements before giving up (0 for no limit)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l restart-window -d 'Time within which replacements are counted' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l strategy -d 'How nodes are ranked: fewest tasks first, fullest first, any, or as the cluster says' -r -f -a "spread\t''
binpack\t''
random\t''
default\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l priority -d 'From 0 to 100; a higher one may displace lower ones where the cluster allows preemption' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l rebalance -d 'Whether tasks move to nodes that joined later' -r -f -a "manual\t''
auto\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l schedule -d 'Run the job by this cron expression, such as "*/5 * * * *" ("none" to stop that)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l schedule-timezone -d 'Time zone of the schedule, such as Europe/Berlin (default UTC)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l schedule-concurrency -d 'What happens when a run is due and the one before is not over (default forbid)' -r -f -a "allow\t''
forbid\t''
replace\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l schedule-missed -d 'What happens with runs that were due while no manager led (default once)' -r -f -a "skip\t''
once\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l schedule-history -d 'Finished runs whose tasks are kept (default 3)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l update-progress-deadline -d 'Longest time an update may go without progress (0s for ever)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l env-add -d 'Add or replace: environment variable' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l env-rm -d 'Remove: environment variable' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l label-add -d 'Add or replace: label of the service' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l label-rm -d 'Remove: label of the service' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l container-label-add -d 'Add or replace: label of the containers' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l container-label-rm -d 'Remove: label of the containers' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l mount-add -d 'Add or replace: mount, such as type=bind,source=/a,target=/b' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l mount-rm -d 'Remove: mount, such as type=bind,source=/a,target=/b' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l publish-add -d 'Add or replace: published port, such as 8080:80 or target=80,mode=host' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l publish-rm -d 'Remove: published port, such as 8080:80 or target=80,mode=host' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l constraint-add -d 'Add or replace: placement constraint, such as node.role==worker' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l constraint-rm -d 'Remove: placement constraint, such as node.role==worker' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l affinity-add -d 'Add or replace: affinity, such as service==db, image!=~batch or task!=web.1 (with ~: if possible)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l affinity-rm -d 'Remove: affinity, such as service==db, image!=~batch or task!=web.1 (with ~: if possible)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l depends-on-add -d 'Add or replace: service that must be healthy (or completed) before this one starts' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l depends-on-rm -d 'Remove: service that must be healthy (or completed) before this one starts' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l placement-pref-add -d 'Add or replace: placement preference, such as spread=node.labels.zone' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l placement-pref-rm -d 'Remove: placement preference, such as spread=node.labels.zone' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l generic-resource-add -d 'Add or replace: generic resource to set aside' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l generic-resource-rm -d 'Remove: generic resource to set aside' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l secret-add -d 'Add or replace: secret, by name or source=…,target=…' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l secret-rm -d 'Remove: secret, by name or source=…,target=…' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l config-add -d 'Add or replace: config, by name or source=…,target=…' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l config-rm -d 'Remove: config, by name or source=…,target=…' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l network-add -d 'Add or replace: network, by name or name=…,alias=…' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l network-rm -d 'Remove: network, by name or name=…,alias=…' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l host-add -d 'Add or replace: line of the hosts file' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l host-rm -d 'Remove: line of the hosts file' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l dns-add -d 'Add or replace: name server' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l dns-rm -d 'Remove: name server' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l dns-option-add -d 'Add or replace: option of the resolver' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l dns-option-rm -d 'Remove: option of the resolver' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l dns-search-add -d 'Add or replace: search domain' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l dns-search-rm -d 'Remove: search domain' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l group-add -d 'Add or replace: supplementary group' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l group-rm -d 'Remove: supplementary group' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l cap-add -d 'Linux capability to add' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l cap-drop -d 'Linux capability to drop' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l sysctl-add -d 'Add or replace: kernel parameter' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l sysctl-rm -d 'Remove: kernel parameter' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l ulimit-add -d 'Add or replace: ulimit' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l ulimit-rm -d 'Remove: ulimit' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l update-parallelism -d 'Tasks replaced at the same time by an update (0 for all, default 1)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l update-delay -d 'Pause between two groups of tasks during an update (default 0s)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l update-monitor -d 'Time that a task is watched for failure after an update (default 5s)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l update-failure-action -d 'What happens when an update fails (default pause)' -r -f -a "pause\t''
continue\t''
rollback\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l update-max-failure-ratio -d 'Share of failed tasks that an update tolerates (default 0)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l update-order -d 'Whether an update stops the old task first or starts the new one first (default stop-first)' -r -f -a "stop-first\t''
start-first\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l rollback-parallelism -d 'Tasks replaced at the same time by a rollback (0 for all, default 1)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l rollback-delay -d 'Pause between two groups of tasks during a rollback (default 0s)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l rollback-monitor -d 'Time that a task is watched for failure after a rollback (default 5s)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l rollback-failure-action -d 'What happens when a rollback fails (default pause)' -r -f -a "pause\t''
continue\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l rollback-max-failure-ratio -d 'Share of failed tasks that a rollback tolerates (default 0)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l rollback-order -d 'Whether a rollback stops the old task first or starts the new one first (default stop-first)' -r -f -a "stop-first\t''
start-first\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -s d -l detach -d 'Do not wait' -r -f -a "true\t''
false\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l timeout -d 'Stop waiting after this long, with exit code 3 (default: wait on)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l format -d 'Format of what is shown: "json" or a Go template' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l check-version -d 'Refuse if the service is not at this version any more, as a rehearsal showed it' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l force -d 'Replace the tasks even if nothing changes'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l rollback -d 'Go back to the spec before the last update'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l with-registry-auth -d 'Send the registry credentials of this user to the nodes'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l no-resolve-image -d 'Accepted for scripts: images are never resolved by this command'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l no-healthcheck -d 'Disable the check that the image has'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -s q -l quiet -d 'Do not show progress'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -l dry-run -d 'Show what would change and where the tasks would go, and change nothing'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from update" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l image -d 'New image' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l args -d 'New command and arguments, as one value' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l replicas -d 'Number of tasks (default 1)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l max-concurrent -d 'Tasks of a job that run at the same time (default: all)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l endpoint-mode -d 'How the name of the service is resolved' -r -f -a "vip\t''
dnsrr\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l hostname -d 'Host name of the containers' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -s u -l user -d 'User, or user and group (format: <name|uid>[:<group|gid>])' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -s w -l workdir -d 'Working directory inside the containers' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l entrypoint -d 'Replace the entry point of the image' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -s t -l tty -d 'Allocate a terminal' -r -f -a "true\t''
false\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l init -d 'Run an init inside the containers that forwards signals and reaps processes' -r -f -a "true\t''
false\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l read-only -d 'Mount the root file system read-only' -r -f -a "true\t''
false\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l stop-signal -d 'Signal that asks a container to stop' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l stop-grace-period -d 'Time between the stop signal and the kill (default 10s)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l isolation -d 'Isolation on Windows' -r -f -a "default\t''
process\t''
hyperv\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l credential-spec -d 'Credential spec for a managed account (config://, file:// or registry://)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l oom-score-adj -d 'Adjust the preference of the kernel for killing the containers (-1000 to 1000)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l log-driver -d 'Logging driver' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l log-opt -d 'Option of the logging driver' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l health-cmd -d 'Command that checks the health, run by a shell' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l health-interval -d 'Time between two checks' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l health-timeout -d 'Longest time for one check' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l health-retries -d 'Failures in a row that make a container unhealthy' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l health-start-period -d 'Time after the start in which failures do not count' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l health-start-interval -d 'Time between two checks during the start period' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l limit-cpu -d 'Most processor cores for a container' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l limit-memory -d 'Most memory for a container' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l limit-pids -d 'Most processes in a container (0 for no limit)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l reserve-cpu -d 'Processor cores set aside on a node' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l reserve-memory -d 'Memory set aside on a node' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l memory-swap -d 'Swap that a container may use (-1 for no limit)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l memory-swappiness -d 'Tendency to swap, from 0 to 100 (-1 for the default of the engine)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l replicas-max-per-node -d 'Most tasks of the service on one node (0 for no limit)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l restart-condition -d 'When a task is replaced (default any)' -r -f -a "none\t''
on-failure\t''
any\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l restart-delay -d 'Pause before a task is replaced (default 5s)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l restart-max-attempts -d 'Replacements before giving up (0 for no limit)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l restart-window -d 'Time within which replacements are counted' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l strategy -d 'How nodes are ranked: fewest tasks first, fullest first, any, or as the cluster says' -r -f -a "spread\t''
binpack\t''
random\t''
default\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l priority -d 'From 0 to 100; a higher one may displace lower ones where the cluster allows preemption' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l rebalance -d 'Whether tasks move to nodes that joined later' -r -f -a "manual\t''
auto\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l schedule -d 'Run the job by this cron expression, such as "*/5 * * * *" ("none" to stop that)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l schedule-timezone -d 'Time zone of the schedule, such as Europe/Berlin (default UTC)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l schedule-concurrency -d 'What happens when a run is due and the one before is not over (default forbid)' -r -f -a "allow\t''
forbid\t''
replace\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l schedule-missed -d 'What happens with runs that were due while no manager led (default once)' -r -f -a "skip\t''
once\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l schedule-history -d 'Finished runs whose tasks are kept (default 3)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l update-progress-deadline -d 'Longest time an update may go without progress (0s for ever)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l env-add -d 'Add or replace: environment variable' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l env-rm -d 'Remove: environment variable' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l label-add -d 'Add or replace: label of the service' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l label-rm -d 'Remove: label of the service' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l container-label-add -d 'Add or replace: label of the containers' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l container-label-rm -d 'Remove: label of the containers' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l mount-add -d 'Add or replace: mount, such as type=bind,source=/a,target=/b' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l mount-rm -d 'Remove: mount, such as type=bind,source=/a,target=/b' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l publish-add -d 'Add or replace: published port, such as 8080:80 or target=80,mode=host' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l publish-rm -d 'Remove: published port, such as 8080:80 or target=80,mode=host' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l constraint-add -d 'Add or replace: placement constraint, such as node.role==worker' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l constraint-rm -d 'Remove: placement constraint, such as node.role==worker' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l affinity-add -d 'Add or replace: affinity, such as service==db, image!=~batch or task!=web.1 (with ~: if possible)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l affinity-rm -d 'Remove: affinity, such as service==db, image!=~batch or task!=web.1 (with ~: if possible)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l depends-on-add -d 'Add or replace: service that must be healthy (or completed) before this one starts' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l depends-on-rm -d 'Remove: service that must be healthy (or completed) before this one starts' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l placement-pref-add -d 'Add or replace: placement preference, such as spread=node.labels.zone' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l placement-pref-rm -d 'Remove: placement preference, such as spread=node.labels.zone' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l generic-resource-add -d 'Add or replace: generic resource to set aside' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l generic-resource-rm -d 'Remove: generic resource to set aside' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l secret-add -d 'Add or replace: secret, by name or source=…,target=…' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l secret-rm -d 'Remove: secret, by name or source=…,target=…' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l config-add -d 'Add or replace: config, by name or source=…,target=…' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l config-rm -d 'Remove: config, by name or source=…,target=…' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l network-add -d 'Add or replace: network, by name or name=…,alias=…' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l network-rm -d 'Remove: network, by name or name=…,alias=…' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l host-add -d 'Add or replace: line of the hosts file' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l host-rm -d 'Remove: line of the hosts file' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l dns-add -d 'Add or replace: name server' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l dns-rm -d 'Remove: name server' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l dns-option-add -d 'Add or replace: option of the resolver' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l dns-option-rm -d 'Remove: option of the resolver' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l dns-search-add -d 'Add or replace: search domain' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l dns-search-rm -d 'Remove: search domain' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l group-add -d 'Add or replace: supplementary group' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l group-rm -d 'Remove: supplementary group' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l cap-add -d 'Linux capability to add' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l cap-drop -d 'Linux capability to drop' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l sysctl-add -d 'Add or replace: kernel parameter' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l sysctl-rm -d 'Remove: kernel parameter' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l ulimit-add -d 'Add or replace: ulimit' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l ulimit-rm -d 'Remove: ulimit' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l update-parallelism -d 'Tasks replaced at the same time by an update (0 for all, default 1)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l update-delay -d 'Pause between two groups of tasks during an update (default 0s)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l update-monitor -d 'Time that a task is watched for failure after an update (default 5s)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l update-failure-action -d 'What happens when an update fails (default pause)' -r -f -a "pause\t''
continue\t''
rollback\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l update-max-failure-ratio -d 'Share of failed tasks that an update tolerates (default 0)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l update-order -d 'Whether an update stops the old task first or starts the new one first (default stop-first)' -r -f -a "stop-first\t''
start-first\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l rollback-parallelism -d 'Tasks replaced at the same time by a rollback (0 for all, default 1)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l rollback-delay -d 'Pause between two groups of tasks during a rollback (default 0s)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l rollback-monitor -d 'Time that a task is watched for failure after a rollback (default 5s)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l rollback-failure-action -d 'What happens when a rollback fails (default pause)' -r -f -a "pause\t''
continue\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l rollback-max-failure-ratio -d 'Share of failed tasks that a rollback tolerates (default 0)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l rollback-order -d 'Whether a rollback stops the old task first or starts the new one first (default stop-first)' -r -f -a "stop-first\t''
start-first\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -s d -l detach -d 'Do not wait' -r -f -a "true\t''
false\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l timeout -d 'Stop waiting after this long, with exit code 3 (default: wait on)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l format -d 'Format of what is shown: "json" or a Go template' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l check-version -d 'Refuse if the service is not at this version any more, as a rehearsal showed it' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l force -d 'Replace the tasks even if nothing changes'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l rollback -d 'Go back to the spec before the last update'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l with-registry-auth -d 'Send the registry credentials of this user to the nodes'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l no-resolve-image -d 'Accepted for scripts: images are never resolved by this command'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l no-healthcheck -d 'Disable the check that the image has'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -s q -l quiet -d 'Do not show progress'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -l dry-run -d 'Show what would change and where the tasks would go, and change nothing'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from plan" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from scale" -s d -l detach -d 'Do not wait' -r -f -a "true\t''
false\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from scale" -l timeout -d 'Stop waiting after this long, with exit code 3 (default: wait on)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from scale" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from scale" -s q -l quiet -d 'Do not show progress'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from scale" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from rollback" -s d -l detach -d 'Do not wait' -r -f -a "true\t''
false\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from rollback" -l timeout -d 'Stop waiting after this long, with exit code 3 (default: wait on)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from rollback" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from rollback" -s q -l quiet -d 'Do not show progress'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from rollback" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from ls" -s f -l filter -d 'Show only what matches (KEY=VALUE, may be repeated)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from ls" -l format -d '"table", "json", "table TEMPLATE" or a Go template such as \'{{.ID}} {{.Name}}\'' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from ls" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Show only ids'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from ls" -l no-trunc -d 'Do not shorten ids and texts'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from ps" -s f -l filter -d 'Show only what matches (KEY=VALUE, may be repeated)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from ps" -l format -d '"table", "json", "table TEMPLATE" or a Go template such as \'{{.ID}} {{.Name}}\'' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from ps" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from ps" -s q -l quiet -d 'Show only ids'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from ps" -l no-trunc -d 'Do not shorten ids and texts'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from ps" -l no-resolve -d 'Do not turn ids into names'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from ps" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from inspect" -s f -l format -d '"json" for one object in a line, or a Go template such as \'{{json .Spec}}\'' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from inspect" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from inspect" -l pretty -d 'Lay the objects out for reading'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from rm" -s d -l detach -d 'Do not wait' -r -f -a "true\t''
false\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from rm" -l timeout -d 'Stop waiting after this long, with exit code 3 (default: wait on)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from rm" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from rm" -s q -l quiet -d 'Do not show progress'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from logs" -s n -l tail -d 'Number of lines from the end of each task\'s output' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from logs" -l since -d 'Only output since a time (2026-01-02T13:23:37Z) or a duration ago (42m)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from logs" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from logs" -s f -l follow -d 'Go on with new output'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from logs" -s t -l timestamps -d 'Show times'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from logs" -l raw -d 'Show only the output'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from logs" -l no-task-ids -d 'Leave task ids out'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from logs" -l no-resolve -d 'Do not turn ids into names'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from logs" -l no-trunc -d 'Do not shorten ids'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from logs" -l details -d 'Show the attributes that the logging driver kept'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from logs" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "create" -d 'Create a service and wait until it runs'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "update" -d 'Change a service and wait until the change has arrived'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "plan" -d 'Show what a change of a service would do, and change nothing (as `update --dry-run`)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "scale" -d 'Set the number of tasks of one or more services (SERVICE=N)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "rollback" -d 'Go back to the spec before the last update'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List services'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "ps" -d 'List the tasks of services and what they wait for'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "inspect" -d 'Show everything about services'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "rm" -d 'Remove services and wait until their tasks have stopped'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "logs" -d 'Show the output of a service or of a task'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and not __fish_seen_subcommand_from ls inspect ps promote demote rotate-certificate update rm help" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and not __fish_seen_subcommand_from ls inspect ps promote demote rotate-certificate update rm help" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and not __fish_seen_subcommand_from ls inspect ps promote demote rotate-certificate update rm help" -f -a "ls" -d 'List nodes'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and not __fish_seen_subcommand_from ls inspect ps promote demote rotate-certificate update rm help" -f -a "inspect" -d 'Show everything about nodes'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and not __fish_seen_subcommand_from ls inspect ps promote demote rotate-certificate update rm help" -f -a "ps" -d 'List the tasks of nodes'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and not __fish_seen_subcommand_from ls inspect ps promote demote rotate-certificate update rm help" -f -a "promote" -d 'Make workers managers and wait until they are'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and not __fish_seen_subcommand_from ls inspect ps promote demote rotate-certificate update rm help" -f -a "demote" -d 'Make managers workers and wait until they are'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and not __fish_seen_subcommand_from ls inspect ps promote demote rotate-certificate update rm help" -f -a "rotate-certificate" -d 'Ask nodes for new certificates and wait until they have them'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and not __fish_seen_subcommand_from ls inspect ps promote demote rotate-certificate update rm help" -f -a "update" -d 'Change availability, role and labels'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and not __fish_seen_subcommand_from ls inspect ps promote demote rotate-certificate update rm help" -f -a "rm" -d 'Remove nodes that are down'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and not __fish_seen_subcommand_from ls inspect ps promote demote rotate-certificate update rm help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from ls" -s f -l filter -d 'Show only what matches (KEY=VALUE, may be repeated)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from ls" -l format -d '"table", "json", "table TEMPLATE" or a Go template such as \'{{.ID}} {{.Name}}\'' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from ls" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Show only ids'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from ls" -l no-trunc -d 'Do not shorten ids and texts'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from inspect" -s f -l format -d '"json" for one object in a line, or a Go template such as \'{{json .Spec}}\'' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from inspect" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from inspect" -l pretty -d 'Lay the objects out for reading'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from ps" -s f -l filter -d 'Show only what matches (KEY=VALUE, may be repeated)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from ps" -l format -d '"table", "json", "table TEMPLATE" or a Go template such as \'{{.ID}} {{.Name}}\'' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from ps" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from ps" -s q -l quiet -d 'Show only ids'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from ps" -l no-trunc -d 'Do not shorten ids and texts'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from ps" -l no-resolve -d 'Do not turn ids into names'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from ps" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from promote" -l timeout -d 'Stop waiting after this long, with exit code 3' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from promote" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from promote" -s d -l detach -d 'Do not wait until it has happened'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from promote" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from demote" -l timeout -d 'Stop waiting after this long, with exit code 3' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from demote" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from demote" -s d -l detach -d 'Do not wait until it has happened'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from demote" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from rotate-certificate" -l timeout -d 'Stop waiting after this long, with exit code 3' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from rotate-certificate" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from rotate-certificate" -s d -l detach -d 'Do not wait until it has happened'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from rotate-certificate" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from update" -l availability -d 'Whether the node takes tasks: drain moves those away that it has' -r -f -a "active\t''
pause\t''
drain\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from update" -l role -d 'Role' -r -f -a "worker\t''
manager\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from update" -l label-add -d 'Add or replace a label of the node' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from update" -l label-rm -d 'Remove a label of the node' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from update" -l timeout -d 'With --wait: stop waiting after this long, with exit code 3' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from update" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from update" -l wait -d 'With --availability drain: wait until no task runs on the node'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from update" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from rm" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from rm" -s f -l force -d 'Remove also nodes that are up'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List nodes'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "inspect" -d 'Show everything about nodes'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "ps" -d 'List the tasks of nodes'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "promote" -d 'Make workers managers and wait until they are'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "demote" -d 'Make managers workers and wait until they are'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "rotate-certificate" -d 'Ask nodes for new certificates and wait until they have them'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "update" -d 'Change availability, role and labels'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "rm" -d 'Remove nodes that are down'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and not __fish_seen_subcommand_from ls inspect explain rm help" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and not __fish_seen_subcommand_from ls inspect explain rm help" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and not __fish_seen_subcommand_from ls inspect explain rm help" -f -a "ls" -d 'List the tasks of all services'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and not __fish_seen_subcommand_from ls inspect explain rm help" -f -a "inspect" -d 'Show everything about tasks'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and not __fish_seen_subcommand_from ls inspect explain rm help" -f -a "explain" -d 'Say why a task is where it is, or what it waits for'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and not __fish_seen_subcommand_from ls inspect explain rm help" -f -a "rm" -d 'Remove the records of tasks; their services make new ones'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and not __fish_seen_subcommand_from ls inspect explain rm help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from ls" -s f -l filter -d 'Show only what matches (KEY=VALUE, may be repeated)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from ls" -l format -d '"table", "json", "table TEMPLATE" or a Go template such as \'{{.ID}} {{.Name}}\'' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from ls" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Show only ids'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from ls" -l no-trunc -d 'Do not shorten ids and texts'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from ls" -l no-resolve -d 'Do not turn ids into names'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from inspect" -s f -l format -d '"json" for one object in a line, or a Go template such as \'{{json .Spec}}\'' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from inspect" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from inspect" -l pretty -d 'Lay the objects out for reading'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from explain" -l examples -d 'Nodes named as examples for each reason' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from explain" -l format -d '"json" or a Go template' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from explain" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from explain" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from rm" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List the tasks of all services'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from help" -f -a "inspect" -d 'Show everything about tasks'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from help" -f -a "explain" -d 'Say why a task is where it is, or what it waits for'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from help" -f -a "rm" -d 'Remove the records of tasks; their services make new ones'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand task; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and not __fish_seen_subcommand_from inspect update status rebalance transfer-leadership help" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and not __fish_seen_subcommand_from inspect update status rebalance transfer-leadership help" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and not __fish_seen_subcommand_from inspect update status rebalance transfer-leadership help" -f -a "inspect" -d 'Show the settings of the cluster'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and not __fish_seen_subcommand_from inspect update status rebalance transfer-leadership help" -f -a "update" -d 'Change settings'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and not __fish_seen_subcommand_from inspect update status rebalance transfer-leadership help" -f -a "status" -d 'Show how the managers are; works without a leader'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and not __fish_seen_subcommand_from inspect update status rebalance transfer-leadership help" -f -a "rebalance" -d 'Move tasks to nodes that joined or got room later, and wait until they run'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and not __fish_seen_subcommand_from inspect update status rebalance transfer-leadership help" -f -a "transfer-leadership" -d 'Hand leadership to another manager'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and not __fish_seen_subcommand_from inspect update status rebalance transfer-leadership help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from inspect" -s f -l format -d '"json" for one object in a line, or a Go template such as \'{{json .Spec}}\'' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from inspect" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from inspect" -l pretty -d 'Lay the objects out for reading'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from update" -l task-history-limit -d 'Ended tasks kept for each slot; -1 keeps all' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from update" -l cert-expiry -d 'Life of node certificates' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from update" -l dispatcher-heartbeat -d 'Time between two heartbeats of a node' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from update" -l snapshot-interval -d 'Log entries between two snapshots' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from update" -l max-snapshots -d 'Snapshots kept beside the newest' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from update" -l log-driver -d 'Logging driver of tasks whose service names none' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from update" -l log-opt -d 'Option of that logging driver' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from update" -l label-add -d 'Add or replace a label of the cluster' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from update" -l label-rm -d 'Remove a label of the cluster' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from update" -l strategy -d 'How nodes are ranked for services that do not say' -r -f -a "spread\t''
binpack\t''
random\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from update" -l preemption -d 'Whether a service may displace one of lower priority' -r -f -a "on\t''
off\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from update" -l autolock -d 'Lock managers when they restart' -r -f -a "true\t''
false\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from update" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from update" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from status" -l format -d '"json" or a Go template' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from status" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from rebalance" -l max-moves -d 'Most tasks to move' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from rebalance" -l service -d 'Move tasks of this service only' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from rebalance" -l format -d 'Format of the plan: "json" or a Go template' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from rebalance" -s d -l detach -d 'Do not wait' -r -f -a "true\t''
false\t''"
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from rebalance" -l timeout -d 'Stop waiting after this long, with exit code 3 (default: wait on)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from rebalance" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from rebalance" -l plan -d 'Show which tasks would move and why, and move none'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from rebalance" -l stop -d 'Make no more moves; those under way are finished'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from rebalance" -s q -l quiet -d 'Do not show progress'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from rebalance" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from transfer-leadership" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from transfer-leadership" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "inspect" -d 'Show the settings of the cluster'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "update" -d 'Change settings'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "status" -d 'Show how the managers are; works without a leader'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "rebalance" -d 'Move tasks to nodes that joined or got room later, and wait until they run'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "transfer-leadership" -d 'Hand leadership to another manager'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand cluster; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand join-token" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand join-token" -l rotate -d 'Make a new token; the old one is refused from then on'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand join-token" -s q -l quiet -d 'Show only the token'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand join-token" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and not __fish_seen_subcommand_from create ls inspect rm help" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and not __fish_seen_subcommand_from create ls inspect rm help" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and not __fish_seen_subcommand_from create ls inspect rm help" -f -a "create" -d 'Create one from a file, or from standard input with "-"'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and not __fish_seen_subcommand_from create ls inspect rm help" -f -a "ls" -d 'List'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and not __fish_seen_subcommand_from create ls inspect rm help" -f -a "inspect" -d 'Show everything but the value of secrets'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and not __fish_seen_subcommand_from create ls inspect rm help" -f -a "rm" -d 'Remove'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and not __fish_seen_subcommand_from create ls inspect rm help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from create" -s l -l label -d 'Label (may be repeated)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from create" -s d -l driver -d 'Plugin that has the value (secrets only)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from create" -l template-driver -d 'Template language of the value' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from create" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from ls" -s f -l filter -d 'Show only what matches (KEY=VALUE, may be repeated)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from ls" -l format -d '"table", "json", "table TEMPLATE" or a Go template such as \'{{.ID}} {{.Name}}\'' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from ls" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Show only ids'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from ls" -l no-trunc -d 'Do not shorten ids and texts'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from inspect" -s f -l format -d '"json" for one object in a line, or a Go template such as \'{{json .Spec}}\'' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from inspect" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from inspect" -l pretty -d 'Lay the objects out for reading'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from rm" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from help" -f -a "create" -d 'Create one from a file, or from standard input with "-"'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from help" -f -a "inspect" -d 'Show everything but the value of secrets'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from help" -f -a "rm" -d 'Remove'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand secret; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and not __fish_seen_subcommand_from create ls inspect rm help" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and not __fish_seen_subcommand_from create ls inspect rm help" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and not __fish_seen_subcommand_from create ls inspect rm help" -f -a "create" -d 'Create one from a file, or from standard input with "-"'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and not __fish_seen_subcommand_from create ls inspect rm help" -f -a "ls" -d 'List'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and not __fish_seen_subcommand_from create ls inspect rm help" -f -a "inspect" -d 'Show everything but the value of secrets'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and not __fish_seen_subcommand_from create ls inspect rm help" -f -a "rm" -d 'Remove'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and not __fish_seen_subcommand_from create ls inspect rm help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from create" -s l -l label -d 'Label (may be repeated)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from create" -s d -l driver -d 'Plugin that has the value (secrets only)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from create" -l template-driver -d 'Template language of the value' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from create" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from ls" -s f -l filter -d 'Show only what matches (KEY=VALUE, may be repeated)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from ls" -l format -d '"table", "json", "table TEMPLATE" or a Go template such as \'{{.ID}} {{.Name}}\'' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from ls" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Show only ids'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from ls" -l no-trunc -d 'Do not shorten ids and texts'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from inspect" -s f -l format -d '"json" for one object in a line, or a Go template such as \'{{json .Spec}}\'' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from inspect" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from inspect" -l pretty -d 'Lay the objects out for reading'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from rm" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "create" -d 'Create one from a file, or from standard input with "-"'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "inspect" -d 'Show everything but the value of secrets'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "rm" -d 'Remove'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand network; and not __fish_seen_subcommand_from ls inspect help" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand network; and not __fish_seen_subcommand_from ls inspect help" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand network; and not __fish_seen_subcommand_from ls inspect help" -f -a "ls" -d 'List networks'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand network; and not __fish_seen_subcommand_from ls inspect help" -f -a "inspect" -d 'Show everything about networks'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand network; and not __fish_seen_subcommand_from ls inspect help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand network; and __fish_seen_subcommand_from ls" -s f -l filter -d 'Show only what matches (KEY=VALUE, may be repeated)' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand network; and __fish_seen_subcommand_from ls" -l format -d '"table", "json", "table TEMPLATE" or a Go template such as \'{{.ID}} {{.Name}}\'' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand network; and __fish_seen_subcommand_from ls" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand network; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Show only ids'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand network; and __fish_seen_subcommand_from ls" -l no-trunc -d 'Do not shorten ids and texts'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand network; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand network; and __fish_seen_subcommand_from inspect" -s f -l format -d '"json" for one object in a line, or a Go template such as \'{{json .Spec}}\'' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand network; and __fish_seen_subcommand_from inspect" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand network; and __fish_seen_subcommand_from inspect" -l pretty -d 'Lay the objects out for reading'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand network; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand network; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List networks'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand network; and __fish_seen_subcommand_from help" -f -a "inspect" -d 'Show everything about networks'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand network; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand version" -l format -d '"json" or a Go template' -r
complete -c swarmctl -n "__fish_swarmctl_using_subcommand version" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand version" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand completion" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand completion" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand man" -s s -l socket -d 'Control socket of the manager on this machine' -r -F
complete -c swarmctl -n "__fish_swarmctl_using_subcommand man" -s h -l help -d 'Print help'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and not __fish_seen_subcommand_from service node task cluster join-token secret config network version completion man help" -f -a "service" -d 'Create, change, watch and remove services'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and not __fish_seen_subcommand_from service node task cluster join-token secret config network version completion man help" -f -a "node" -d 'Look at nodes, promote, demote, drain and remove them'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and not __fish_seen_subcommand_from service node task cluster join-token secret config network version completion man help" -f -a "task" -d 'Look at single tasks and find out what they wait for'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and not __fish_seen_subcommand_from service node task cluster join-token secret config network version completion man help" -f -a "cluster" -d 'Look at the cluster, change its settings, move its leadership'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and not __fish_seen_subcommand_from service node task cluster join-token secret config network version completion man help" -f -a "join-token" -d 'Show how a machine joins, or make the token for it anew'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and not __fish_seen_subcommand_from service node task cluster join-token secret config network version completion man help" -f -a "secret" -d 'Create, list and remove secrets'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and not __fish_seen_subcommand_from service node task cluster join-token secret config network version completion man help" -f -a "config" -d 'Create, list and remove configs'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and not __fish_seen_subcommand_from service node task cluster join-token secret config network version completion man help" -f -a "network" -d 'Look at networks'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and not __fish_seen_subcommand_from service node task cluster join-token secret config network version completion man help" -f -a "version" -d 'Show the versions of this program and of the manager'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and not __fish_seen_subcommand_from service node task cluster join-token secret config network version completion man help" -f -a "completion" -d 'Print the completion script of a shell'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and not __fish_seen_subcommand_from service node task cluster join-token secret config network version completion man help" -f -a "man" -d 'Write the manual pages into a directory'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and not __fish_seen_subcommand_from service node task cluster join-token secret config network version completion man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "create" -d 'Create a service and wait until it runs'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "update" -d 'Change a service and wait until the change has arrived'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "plan" -d 'Show what a change of a service would do, and change nothing (as `update --dry-run`)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "scale" -d 'Set the number of tasks of one or more services (SERVICE=N)'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "rollback" -d 'Go back to the spec before the last update'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "ls" -d 'List services'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "ps" -d 'List the tasks of services and what they wait for'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "inspect" -d 'Show everything about services'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "rm" -d 'Remove services and wait until their tasks have stopped'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "logs" -d 'Show the output of a service or of a task'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "ls" -d 'List nodes'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "inspect" -d 'Show everything about nodes'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "ps" -d 'List the tasks of nodes'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "promote" -d 'Make workers managers and wait until they are'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "demote" -d 'Make managers workers and wait until they are'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "rotate-certificate" -d 'Ask nodes for new certificates and wait until they have them'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "update" -d 'Change availability, role and labels'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "rm" -d 'Remove nodes that are down'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from task" -f -a "ls" -d 'List the tasks of all services'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from task" -f -a "inspect" -d 'Show everything about tasks'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from task" -f -a "explain" -d 'Say why a task is where it is, or what it waits for'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from task" -f -a "rm" -d 'Remove the records of tasks; their services make new ones'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "inspect" -d 'Show the settings of the cluster'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "update" -d 'Change settings'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "status" -d 'Show how the managers are; works without a leader'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "rebalance" -d 'Move tasks to nodes that joined or got room later, and wait until they run'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from cluster" -f -a "transfer-leadership" -d 'Hand leadership to another manager'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from secret" -f -a "create" -d 'Create one from a file, or from standard input with "-"'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from secret" -f -a "ls" -d 'List'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from secret" -f -a "inspect" -d 'Show everything but the value of secrets'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from secret" -f -a "rm" -d 'Remove'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "create" -d 'Create one from a file, or from standard input with "-"'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "ls" -d 'List'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "inspect" -d 'Show everything but the value of secrets'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "rm" -d 'Remove'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from network" -f -a "ls" -d 'List networks'
complete -c swarmctl -n "__fish_swarmctl_using_subcommand help; and __fish_seen_subcommand_from network" -f -a "inspect" -d 'Show everything about networks'
