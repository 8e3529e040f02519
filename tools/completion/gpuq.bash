# bash completion for gpuq; made by `gpuq help --completion bash`; edit tools/gpuq/manual_text.h instead.
_gpuq()
{
    local word=${COMP_WORDS[COMP_CWORD]} words=
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="run plugins swap rollback use discard reload stats lint explain schema plugin new doctor bench cache dlq version help"
    else
        case ${COMP_WORDS[1]} in
        run) words="--backend --threads --no-cache --watch --json --quiet --help" ;;
        plugins) words="--json --socket --help" ;;
        swap) words="--rehearse --canary --canary-for --canary-messages --canary-failures --canary-p99 --json --socket --help" ;;
        rollback) words="--json --socket --help" ;;
        use) words="--json --socket --help" ;;
        discard) words="--json --socket --help" ;;
        reload) words="--json --socket --help" ;;
        stats) words="--json --socket --help" ;;
        lint) words="--json --help" ;;
        explain) words="--help" ;;
        schema) words="--manual --help" ;;
        plugin) words="check build inspect pin run test --param --backend --arch --no-cache --timeout --in --repeat --index --slot-bytes --output --json --help" ;;
        new) words="--block --source --help" ;;
        doctor) words="--json --help" ;;
        bench) words="echo latency sizes oneway paced stages source swap sha256 bus --json --backend --seconds --threads --help" ;;
        cache) words="ls clear --help" ;;
        dlq) words="ls show replay drop --json --raw --all --backend --help" ;;
        version) words="--help" ;;
        help) words="--man --completion --status" ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o default -F _gpuq gpuq
