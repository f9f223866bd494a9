/* `sekisho classify`: what the gate takes a request for. */

#include "tools.h"

#include "../lib/base/json.h"
#include "../lib/dicom/dicom.h"

#define LABEL_WIDTH 10

static const option_t options[] = {
    {"--accept", "TYPES",
     "The Accept header, as the client sends it. A "
     "retrieval is a view only if it rules DICOM and ZIP "
     "out."},
    {"--json", NULL, "Print one JSON object."},
    {NULL, NULL, NULL}};

static int run(const arguments_t *arguments);

static const command_t command = {
    .name = "classify",
    .arguments = "METHOD URI",
    .arguments_min = 2,
    .arguments_max = 2,
    .summary = "Tell what the gate takes a request for.",
    .details =
        "Prints the action (query, view, download, store, delete, admin), the "
        "interface (dicomweb, wado-uri, orthanc, dcm4chee, unknown) and the "
        "identifiers that the request names. The URI is the path and query as "
        "they come in, percent-encoded.\n\n"
        "\"certain no\" means that nothing known matched: the action comes "
        "from the method, or from the stricter of two readings. For such a "
        "location, set the action with the directive facility_action.",
    .options = options,
    .run = run};


static void
print_line(const char *label, slice_t text, bool cut)
{
    if (text.size == 0) {
        return;
    }
    print_padded(stdout, slice_of(label), LABEL_WIDTH);
    print_safe(stdout, text);
    fputs(cut ? output_mark("…\n", "...\n") : "\n", stdout);
}


static void
json_id(json_t *json, const char *name, const dicom_id_t *id)
{
    if (id->size == 0) {
        json_null(json, name);
    } else {
        json_text(json, name, dicom_id(id));
    }
}


static int
print_as_json(const dicom_request_t *request)
{
    json_t json;
    int status;

    json_init(&json);
    json_object(&json, NULL);
    json_string(&json, "action", action_name(request->action));
    json_string(&json, "api", dicom_api_name(request->api));
    json_bool(&json, "certain", request->certain);
    json_id(&json, "patient", &request->patient);
    json_id(&json, "study", &request->study);
    json_id(&json, "series", &request->series);
    json_id(&json, "instance", &request->instance);
    json_end_object(&json);
    status = json.failed ? fail("classify", "out of memory")
                         : print_json("classify", json_result(&json));
    json_free(&json);

    return status;
}


static int
run(const arguments_t *arguments)
{
    dicom_request_t request;

    dicom_classify(slice_of(argument(arguments, 0)),
                   slice_of(argument(arguments, 1)),
                   slice_of(option_value(arguments, "--accept")), &request);

    if (option_given(arguments, "--json")) {
        return print_as_json(&request);
    }

    print_line("action", slice_of(action_name(request.action)), false);
    print_line("api", slice_of(dicom_api_name(request.api)), false);
    print_line("certain", slice_of(request.certain ? "yes" : "no"), false);
    print_line("patient", dicom_id(&request.patient), request.patient.cut);
    print_line("study", dicom_id(&request.study), request.study.cut);
    print_line("series", dicom_id(&request.series), request.series.cut);
    print_line("instance", dicom_id(&request.instance), request.instance.cut);

    return STATUS_OK;
}


int
cmd_classify(int argc, char **argv)
{
    return command_run(&command, argc, argv);
}
