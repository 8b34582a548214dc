{{- /*
What the admission policies share. Each definition is one CEL expression, in brackets where it must be, so that it can
stand inside another; those of the second group take the expression of a metadata (`object.metadata`) or of a name.

Every optional field is read by `.?`: a missing one must never end in an error, because an error refuses, and says
nothing to whoever is refused.
*/ -}}

{{/* The operator, whatever rights it holds. */}}
{{- define "bulkhead.admission.isOperator" -}}
(request.userInfo.username == "system:serviceaccount:{{ .Release.Namespace }}:{{ include "bulkhead.name" . }}")
{{- end -}}

{{/* Kubernetes itself: controllers, scheduler, nodes, and the API server's own clients (quota). */}}
{{- define "bulkhead.admission.isControlPlane" -}}
(request.userInfo.username.startsWith("system:serviceaccount:kube-system:")
  || request.userInfo.username.startsWith("system:kube-")
  || request.userInfo.username.startsWith("system:node:")
  || request.userInfo.username == "system:apiserver"
  {{- with .Values.admission.controlPlaneUsers }}
  || request.userInfo.username in {{ toJson . }}
  {{- end }})
{{- end -}}

{{/* An administrator who says so: the group is nobody's until impersonated or given by the identity provider. */}}
{{- define "bulkhead.admission.isBreakGlass" -}}
(request.userInfo.?groups.orValue([]).exists(group, group in {{ toJson .Values.admission.breakGlassGroups }}))
{{- end -}}

{{/* Whether the request is about an object in the namespace of a workspace. */}}
{{- define "bulkhead.admission.inWorkspace" -}}
(namespaceObject != null
  && namespaceObject.metadata.?labels[?"app.kubernetes.io/managed-by"].orValue("") == "bulkhead"
  && namespaceObject.metadata.?labels[?"bulkhead.dev/workspace-uid"].orValue("") != "")
{{- end -}}

{{/* The same as a selector: cheaper, but it lets cluster-scoped objects pass, so such a rule says scope: Namespaced. */}}
{{- define "bulkhead.admission.workspaceSelector" -}}
matchLabels:
  app.kubernetes.io/managed-by: bulkhead
matchExpressions:
- key: bulkhead.dev/workspace-uid
  operator: Exists
{{- end -}}

{{/* Whether a map of labels has any that only the operator may write. */}}
{{- define "bulkhead.admission.ours" -}}
{{ . }}.exists(key, key.startsWith("bulkhead.dev/")
  || (key == "app.kubernetes.io/managed-by" && {{ . }}[key] == "bulkhead"))
{{- end -}}

{{/* Whether a metadata carries our labels. */}}
{{- define "bulkhead.admission.ourLabels" -}}
{{ include "bulkhead.admission.ours" (printf "%s.?labels.orValue({})" .) }}
{{- end -}}

{{/* Whether a name is one that the operator gives to objects in a workspace. */}}
{{- define "bulkhead.admission.reservedName" -}}
{{ . }}.matches("^(gateway|egress|runtime|tool-.*|guard|default-deny|workspace|session-keys|gateway-keys|model-key|secret-.*|gateway-data|runtime-data|bulkhead-operator|tenant-(view|operate|admin))$")
{{- end -}}

{{/* How an administrator gets past a refusal: the end of a message, a CEL string of its own. */}}
{{- define "bulkhead.admission.hint" -}}
{{- with .Values.admission.breakGlassGroups -}}
"; in an emergency an administrator may: kubectl --as=<you> --as-group={{ first . }} --as-group=system:masters"
{{- else -}}
""
{{- end -}}
{{- end -}}

{{/* What is asked for, for messages: <resource>[/<subresource>] <name>. */}}
{{- define "bulkhead.admission.what" -}}
(request.resource.resource + (request.?subResource.orValue("") == "" ? "" : "/" + request.subResource)
  + " " + (request.?name.orValue("") != "" ? request.name
    : (oldObject == null ? object : oldObject).?metadata.?name.orValue("")))
{{- end -}}

{{/* All of them as variables, for a policy's validations and messages; only what is used is evaluated. */}}
{{- define "bulkhead.admission.variables" -}}
{{- range $name := list "isOperator" "isControlPlane" "isBreakGlass" "inWorkspace" "what" "hint" -}}
- name: {{ $name }}
  expression: |-
    {{- include (printf "bulkhead.admission.%s" $name) $ | nindent 4 }}
{{ end -}}
{{- end -}}

{{/* A binding that puts a policy into force: (dict "root" $ "policy" name "name" its-own "namespaces" selector-text). */}}
{{- define "bulkhead.admission.binding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name | default .policy }}
  labels:
    {{- include "bulkhead.labels" .root | nindent 4 }}
spec:
  policyName: {{ .policy }}
  validationActions: [Deny]
  {{- with .namespaces }}
  matchResources:
    namespaceSelector:
      {{- . | nindent 6 }}
  {{- end }}
{{- end -}}
