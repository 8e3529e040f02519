/* The jail of compilers: what a plugin may include, and what a compiler finds that looks around. Skipped, for the
 * files, where the kernel has no Landlock. */
#include "build/client.h"
#include "build/jail.h"
#include "build/nvrtc.h"
#include "build_support.h"
#include <sys/resource.h>
#include <sys/stat.h>

#define SECRET "sesame_of_the_test"
#define HEAD "#include <gpuqueue/plugin.h>\n"
#define BODY "__device__ void process_message(const MsgView &, ResultView *out) { *out->out_len = SIZE; }\n"

static char log_text[32768];

static void set_up(void)
{
    make_test_folder();
    mkdir(in_folder("plugins"), 0700);
    mkdir(in_folder("home"), 0700);
    write_file("home/secret", "<<< " SECRET "\n");
    write_file("home/size.h", "#define SIZE 3\n");
}

static void tear_down(void) { remove_test_folder(); }

/* Builds plugins/p.cu, which holds `text`; what was said is in log_text. */
static gq_status build_text(const char *text, uint32_t arch)
{
    struct gq_builder *builder = test_builder(NULL);
    struct gq_image image;
    write_file("plugins/p.cu", text);
    const struct gq_build_request request = {.path = in_folder("plugins/p.cu"), .arch = arch};
    gq_status status = gq_build(builder, &request, &image);
    snprintf(log_text, sizeof log_text, "%s", status == GQ_OK ? gq_text_str(&image.log) : gq_error_text());
    gq_image_finish(&image);
    gq_builder_destroy(builder);
    return status;
}

static const char *including(const char *path)
{
    static char text[1024];
    snprintf(text, sizeof text, "#include \"%s\"\n" HEAD BODY, path);
    return text;
}

/* By every compiler that there is, the GPU's among them. */
static void expect_all(const char *text, gq_status expected)
{
    for (size_t i = 0; i <= sizeof compilers / sizeof *compilers; i++) {
        const bool by_nvrtc = i == sizeof compilers / sizeof *compilers;
        if (by_nvrtc ? gq_nvrtc_check() != GQ_OK : !have_compiler(compilers[i]))
            continue;
        if (!by_nvrtc)
            setenv("GPUQ_CXX", compilers[i], 1);
        gq_status status = build_text(text, by_nvrtc ? 90 : 0);
        ck_assert_msg(status == expected, "compiler %zu: %s: %s", i, gq_status_name(status), log_text);
        ck_assert_msg(!strstr(log_text, SECRET), "compiler %zu gave it away: %s", i, log_text);
    }
}

START_TEST(a_header_of_the_plugins_folder_is_read)
{
    write_file("plugins/size.h", "#define SIZE 3\n");
    expect_all(including("size.h"), GQ_OK);
    expect_all(including(in_folder("plugins/size.h")), GQ_OK);
}
END_TEST

START_TEST(a_file_of_another_folder_is_not)
{
    expect_all(including(in_folder("home/secret")), GQ_ERR_PLUGIN);
    expect_all(including("../home/secret"), GQ_ERR_PLUGIN);
    expect_all(including(in_folder("home/size.h")), GQ_ERR_PLUGIN);
    expect_all(including("/etc/passwd"), GQ_ERR_PLUGIN);
    ck_assert_msg(!strstr(log_text, "root:"), "%s", log_text);
}
END_TEST

/* The name is put together where no scan of the text sees it. */
START_TEST(a_name_made_by_a_macro_is_not_either)
{
    char text[1024];
    snprintf(text, sizeof text, "#define NAME \"%s\"\n#include NAME\n" HEAD BODY, in_folder("home/size.h"));
    expect_all(text, GQ_ERR_PLUGIN);
}
END_TEST

START_TEST(a_link_out_of_the_folder_is_followed_by_nobody)
{
    ck_assert_int_eq(symlink(in_folder("home/size.h"), in_folder("plugins/size.h")), 0);
    expect_all(including("size.h"), GQ_ERR_PLUGIN);
}
END_TEST

START_TEST(further_folders_are_named_by_the_environment)
{
    char list[600];
    snprintf(list, sizeof list, "relative:%s", in_folder("home"));
    setenv(GQ_JAIL_FOLDERS_VARIABLE, list, 1);
    expect_all(including("../home/size.h"), GQ_OK);
    unsetenv(GQ_JAIL_FOLDERS_VARIABLE);
}
END_TEST

/* One builder, three folders, and both compilers where there is NVRTC: the jail of one plugin is not the next one's. */
START_TEST(a_builder_serves_one_folder_after_another)
{
    static const char *const plugins[] = {"plugins/p.cu", "home/p.cu", "plugins/p.cu"};
    static const uint32_t archs[] = {90, 0};
    struct gq_builder *builder = test_builder(NULL);
    struct gq_image image;
    const size_t step = gq_nvrtc_check() == GQ_OK ? 1 : 2;
    write_file("plugins/size.h", "#define SIZE 4\n");
    write_file("plugins/p.cu", including("size.h"));
    write_file("home/p.cu", including("size.h"));
    for (size_t i = step - 1; i < 6; i += step) {
        const struct gq_build_request request = {.path = in_folder(plugins[i / 2]), .arch = archs[i % 2]};
        ck_assert_msg(gq_build(builder, &request, &image) == GQ_OK, "%zu: %s", i, gq_error_text());
        gq_image_finish(&image);
    }
    gq_builder_destroy(builder);
}
END_TEST

/* --- a compiler that looks around -----------------------------------------------------------------------------------
 */

static const char probe_source[] =
    "#include <arpa/inet.h>\n#include <fcntl.h>\n#include <netinet/in.h>\n#include <signal.h>\n#include <stdio.h>\n"
    "#include <string.h>\n#include <sys/prctl.h>\n#include <sys/resource.h>\n#include <sys/socket.h>\n"
    "#include <unistd.h>\n#include <errno.h>\nextern char **environ;\n"
    "static unsigned long most(int what) { struct rlimit l; getrlimit((__rlimit_resource_t)what, &l); return "
    "l.rlim_cur; }\n"
    "int main(int count, char **args) {\n"
    "  if (count == 2) return puts(\"probe 1\") < 0;\n"
    "  if (strcmp(args[count - 1], \"/dev/null\") == 0) return 0;\n"
    "  printf(\"p.cu:1:1: error: fds %d\\n\", fcntl(3, F_GETFD) + fcntl(4, F_GETFD));\n"
    "  printf(\"p.cu:1:1: error: nnp=%d core=%lu as=%lu file=%lu cpu=%lu\\n\", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, "
    "0),\n"
    "    most(RLIMIT_CORE), most(RLIMIT_AS) >> 30, most(RLIMIT_FSIZE) >> 20, most(RLIMIT_CPU));\n"
    "  for (char **e = environ; *e; e++) printf(\"p.cu:1:1: error: env %.*s\\n\", (int)strcspn(*e, \"=\"), *e);\n"
    "  const char *names[] = {FOLDER \"/home/made\", FOLDER \"/plugins/made\", FOLDER \"/made\", "
    "\"/tmp/gpuqueue-probe-made\"};\n"
    "  for (int i = 0; i < 4; i++) if (open(names[i], O_CREAT | O_WRONLY, 0600) >= 0) printf(\"p.cu:1:1: error: wrote "
    "%s\\n\", names[i]);\n"
    "  struct sockaddr_in to; memset(&to, 0, sizeof to); to.sin_family = AF_INET; to.sin_port = htons(9);\n"
    "  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK); int s = socket(AF_INET, SOCK_STREAM, 0);\n"
    "  int c = connect(s, (struct sockaddr *)&to, sizeof to) ? errno : 0;\n"
    "  printf(\"p.cu:1:1: error: connect %s\\n\", strerror(c));\n"
    "  printf(\"p.cu:1:1: error: signal %s\\n\", kill(getppid(), 0) ? strerror(errno) : \"sent\");\n"
    "  return args[0] ? 1 : 0; }\n";

static void look_around(void)
{
    char command[2048], define[600];
    snprintf(define, sizeof define, "-DFOLDER='\"%s\"'", test_folder);
    write_file("home/probe.cc", probe_source);
    snprintf(command, sizeof command, "%s -w %s %s -o %s", have_compiler("g++") ? "g++" : "clang++", define,
             in_folder("home/probe.cc"), in_folder("home/probe"));
    ck_assert_int_eq(system(command), 0);
    setenv("GPUQ_CXX", in_folder("home/probe"), 1);
    setenv("OPEN_" SECRET, SECRET, 1);
    ck_assert_int_eq(build_text(HEAD "#define SIZE 1\n" BODY, 0), GQ_ERR_PLUGIN);
}

static bool found(const char *text) { return strstr(log_text, text) != NULL; }

START_TEST(a_compiler_is_bounded_and_has_no_privilege_to_gain)
{
    look_around();
    ck_assert_msg(found("nnp=1 core=0 as=8 file=256 cpu=62"), "%s", log_text);
    ck_assert_msg(found("fds -2"), "%s", log_text);
}
END_TEST

START_TEST(a_compiler_may_no_more_than_the_host)
{
    struct rlimit little;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &little), 0);
    little.rlim_cur = 64 << 20;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &little), 0);
    look_around();
    ck_assert_msg(found("as=8 file=64 cpu=62"), "%s", log_text);
}
END_TEST

START_TEST(a_compiler_has_three_variables)
{
    look_around();
    ck_assert_msg(found("env PATH") && found("env TMPDIR") && found("env LC_ALL"), "%s", log_text);
    const char *at = log_text;
    unsigned count = 0;
    while ((at = strstr(at, "error: env ")))
        count++, at++;
    ck_assert_msg(count == 3, "%s", log_text);
}
END_TEST

START_TEST(a_compiler_writes_nowhere_and_reaches_nobody)
{
    look_around();
    ck_assert_msg(!found("error: wrote"), "%s", log_text);
    if (gq_jail_version() >= 4)
        ck_assert_msg(found("connect Permission denied"), "%s", log_text);
    if (gq_jail_version() >= 6)
        ck_assert_msg(found("signal Operation not permitted"), "%s", log_text);
}
END_TEST

/* --- the builder itself ---------------------------------------------------------------------------------------------
 */

START_TEST(a_builder_knows_nothing_of_the_hosts_environment)
{
    char path[64], text[16384] = "";
    struct gq_builder *builder = test_builder(NULL);
    struct gq_image image;
    setenv("OPEN_" SECRET, "1", 1);
    setenv("DATABASE_PASSWORD", SECRET, 1);
    setenv("LD_PRELOAD_PATH", SECRET, 1);
    setenv("CUDA_INJECTION64_PATH", SECRET, 1);
    write_file("plugins/p.cu", HEAD "#define SIZE 1\n" BODY);
    ck_assert_int_eq(build_stage(builder, in_folder("plugins/p.cu"), &image), GQ_OK);
    snprintf(path, sizeof path, "/proc/%d/environ", (int)builder->process.pid);
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    ck_assert(memmem(text, len, "PATH=", 5) != NULL);
    ck_assert(memmem(text, len, SECRET, strlen(SECRET)) == NULL);
    gq_image_finish(&image);
    gq_builder_destroy(builder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("build_jail");
    TCase *files = tcase_create("files"), *child = tcase_create("child");
    tcase_add_checked_fixture(files, set_up, tear_down);
    tcase_add_checked_fixture(child, set_up, tear_down);
    tcase_set_timeout(files, 120);
    tcase_set_timeout(child, 120);
    tcase_add_test(files, a_header_of_the_plugins_folder_is_read);
    tcase_add_test(files, a_file_of_another_folder_is_not);
    tcase_add_test(files, a_name_made_by_a_macro_is_not_either);
    tcase_add_test(files, a_link_out_of_the_folder_is_followed_by_nobody);
    tcase_add_test(files, further_folders_are_named_by_the_environment);
    tcase_add_test(files, a_builder_serves_one_folder_after_another);
    tcase_add_test(files, a_compiler_writes_nowhere_and_reaches_nobody);
    tcase_add_test(child, a_compiler_is_bounded_and_has_no_privilege_to_gain);
    tcase_add_test(child, a_compiler_may_no_more_than_the_host);
    tcase_add_test(child, a_compiler_has_three_variables);
    tcase_add_test(child, a_builder_knows_nothing_of_the_hosts_environment);
    if (gq_jail_version() > 0)
        suite_add_tcase(suite, files);
    suite_add_tcase(suite, child);
    return run_suite(suite);
}
