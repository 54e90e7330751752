sh -ec 'false || true; echo a'; sh -ec 'if false; then :; fi; echo b'; sh -ec '! true; echo c'
sh -ec 'false; echo no'; echo $?; sh -ec '(false); echo no'; echo $?; sh -ec 'x=$(false); echo no'; echo $?
sh -ec 'f() { false; echo in; }; f || echo or'; sh -ec 'f() { false; echo no; }; f'; echo $?
sh -ec 'while false; do :; done; echo d'; sh -ec 'true | false; echo no'; echo $?; sh -ec 'false | true; echo e'
sh -ec 'trap "echo trapped" EXIT; false'; echo $?
