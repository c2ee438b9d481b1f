/* The floor: what running a graph with a proof costs when nothing but the unavoidable is done.
 *
 *   floor JOBS PLAN OUT     one task per line of PLAN: id <TAB> needs, space-separated <TAB> script
 *
 * Starts `bash --noprofile --norc -eo pipefail step-0.sh` in a session of its own for every task,
 * captures its output through a pipe, and writes the nine files of a one-step proof into OUT/<id>/.
 * It hashes nothing, journals nothing, contains nothing, checks nothing and never times out: that is
 * zf's work, and the ratio to this program is its price.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

struct task {
	char *id, *needs, *script;
	int unmet, *dependents, dependents_count;
};

struct slot {
	struct task *task;
	pid_t pid;
	int pipe, log;
	double started;
};

static const char *const folders[] = {
	"", "/00-meta", "/10-commands", "/20-logs", "/30-artifacts", "/40-checksums", "/99-summary",
};

static struct task *tasks;
static int task_count;
static const char *out;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void put(const struct task *task, const char *name, const char *text)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s/%s", out, task->id, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0 || write(fd, text, strlen(text)) < 0 || close(fd) < 0)
		fail(path);
}

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct task *)a)->id, ((const struct task *)b)->id);
}

static struct task *find(char *id)
{
	struct task wanted = {.id = id};
	struct task *found = bsearch(&wanted, tasks, task_count, sizeof *tasks, by_id);
	if (!found) {
		fprintf(stderr, "floor: unknown task %s\n", id);
		exit(2);
	}
	return found;
}

static void read_plan(const char *path)
{
	FILE *plan = fopen(path, "r");
	if (!plan)
		fail(path);
	char *line = NULL;
	size_t size = 0;
	int room = 0;
	while (getline(&line, &size, plan) > 0) {
		if (task_count == room)
			tasks = realloc(tasks, (room = room ? 2 * room : 1024) * sizeof *tasks);
		char *rest = strdup(line);
		rest[strcspn(rest, "\n")] = 0;
		struct task *task = &tasks[task_count++];
		memset(task, 0, sizeof *task);
		task->id = strsep(&rest, "\t");
		task->needs = strsep(&rest, "\t");
		task->script = rest;
	}
	free(line);
	fclose(plan);
	qsort(tasks, task_count, sizeof *tasks, by_id);
	for (int i = 0; i < task_count; i++) {
		char *needs = strdup(tasks[i].needs), *rest = needs, *name;
		while ((name = strsep(&rest, " "))) {
			if (!*name)
				continue;
			struct task *need = find(name);
			int count = need->dependents_count++;
			if ((count & (count - 1)) == 0) /* full at every power of two */
				need->dependents = realloc(need->dependents, (count ? 2 * count : 1) * sizeof(int));
			need->dependents[count] = i;
			tasks[i].unmet++;
		}
		free(needs);
	}
}

static void start(struct slot *slot, struct task *task)
{
	char path[4096], text[8192];
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		snprintf(path, sizeof path, "%s/%s%s", out, task->id, folders[i]);
		if (mkdir(path, 0777) < 0)
			fail(path);
	}
	snprintf(text, sizeof text,
	    "{\"schema\":\"floor/task\",\"id\":\"%s\",\"needs\":\"%s\",\"timeout_sec\":300,\"workdir\":\".\","
	    "\"commands\":[{\"name\":\"%s\",\"run\":\"%s\"}]}\n",
	    task->id, task->needs, task->id, task->script);
	put(task, "00-meta/task.json", text);
	snprintf(text, sizeof text, "export TASK_ID='%s'\nexport PATH='%s'\nexport HOME='%s'\n", task->id,
	    getenv("PATH"), getenv("HOME"));
	put(task, "00-meta/env.sh", text);
	put(task, "10-commands/step-0.sh", task->script);

	snprintf(path, sizeof path, "%s/%s/20-logs/step-0.log", out, task->id);
	int log = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	int ends[2];
	if (log < 0 || pipe(ends) < 0)
		fail(path);
	fcntl(ends[0], F_SETFD, FD_CLOEXEC);
	fcntl(ends[1], F_SETFD, FD_CLOEXEC);
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, ends[1], 1);
	posix_spawn_file_actions_adddup2(&files, ends[1], 2);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
	snprintf(path, sizeof path, "%s/%s/10-commands/step-0.sh", out, task->id);
	char *argv[] = {"bash", "--noprofile", "--norc", "-eo", "pipefail", path, NULL};
	slot->started = now();
	if ((errno = posix_spawnp(&slot->pid, "bash", &files, &attributes, argv, environ)))
		fail("bash");
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	close(ends[1]);
	slot->task = task;
	slot->pipe = ends[0];
	slot->log = log;
}

static void finish(struct slot *slot)
{
	struct task *task = slot->task;
	static const char digest[] = "0000000000000000000000000000000000000000000000000000000000000000";
	static const char *const names[] = {
		"00-meta/env.sh", "00-meta/task.json", "10-commands/commands.json",
		"10-commands/step-0.json", "10-commands/step-0.sh", "20-logs/step-0.log",
		"40-checksums/artifacts.sha256", "99-summary/status.json",
	};
	char text[8192];
	int status, length = 0;
	close(slot->pipe);
	close(slot->log);
	if (waitpid(slot->pid, &status, 0) < 0 || status != 0) {
		fprintf(stderr, "floor: %s ended with %d\n", task->id, status);
		exit(1);
	}
	double took = now() - slot->started;
	snprintf(text, sizeof text,
	    "{\"schema\":\"floor/step\",\"index\":1,\"name\":\"%s\",\"status\":\"success\",\"exit_code\":0,"
	    "\"signal\":null,\"duration_s\":%.6f,\"log\":\"20-logs/step-0.log\",\"log_sha256\":\"%s\","
	    "\"script_sha256\":\"%s\"}\n",
	    task->id, took, digest, digest);
	put(task, "10-commands/step-0.json", text);
	put(task, "10-commands/commands.json", text);
	put(task, "40-checksums/artifacts.sha256", "");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		length += snprintf(text + length, sizeof text - length, "%s  %s\n", digest, names[i]);
	put(task, "40-checksums/task.sha256", text);
	snprintf(text, sizeof text,
	    "{\"schema\":\"floor/status\",\"task_id\":\"%s\",\"status\":\"success\",\"exit_code\":0,"
	    "\"signal\":null,\"attempt\":1,\"cause\":\"\",\"duration_s\":%.6f,\"timeout_sec\":300}\n",
	    task->id, took);
	put(task, "99-summary/status.json", text);
	slot->task = NULL;
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: floor JOBS PLAN OUT\n");
		return 2;
	}
	int jobs = atoi(argv[1]), done = 0, running = 0, first = 0, ready_count = 0;
	out = argv[3];
	read_plan(argv[2]);
	struct task **ready = calloc(task_count + 1, sizeof *ready);
	struct slot *slots = calloc(jobs, sizeof *slots);
	struct pollfd *polled = calloc(jobs, sizeof *polled);
	static char buffer[65536];
	for (int i = 0; i < task_count; i++)
		if (!tasks[i].unmet)
			ready[ready_count++] = &tasks[i];
	while (done < task_count) {
		for (int i = 0; i < jobs; i++) {
			if (!slots[i].task && first < ready_count) {
				start(&slots[i], ready[first++]);
				running++;
			}
			polled[i].fd = slots[i].task ? slots[i].pipe : -1;
			polled[i].events = POLLIN;
		}
		if (!running) {
			fprintf(stderr, "floor: a cycle\n");
			return 2;
		}
		poll(polled, jobs, -1);
		for (int i = 0; i < jobs; i++) {
			if (!slots[i].task || !polled[i].revents)
				continue;
			ssize_t count = read(slots[i].pipe, buffer, sizeof buffer);
			if (count > 0) {
				if (write(slots[i].log, buffer, count) != count)
					fail("log");
				continue;
			}
			struct task *task = slots[i].task;
			finish(&slots[i]);
			running--;
			done++;
			for (int d = 0; d < task->dependents_count; d++)
				if (!--tasks[task->dependents[d]].unmet)
					ready[ready_count++] = &tasks[task->dependents[d]];
		}
	}
	return 0;
}
