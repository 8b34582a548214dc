{{- /*
What the policies on pods share. The variables find the pod in whatever holds one; the rules write one validation each:
`bad` is CEL that is true where something must not be, `says` ends the message that begins with the field (`more`: CEL
for what follows it).
*/ -}}

{{/* CEL as one line of YAML; no string in it has two spaces in a row. */}}
{{- define "bulkhead.pods.line" -}}
{{ regexReplaceAll "\\s+" . " " | toRawJson }}
{{- end -}}

{{/* Every kind that holds a pod, as resourceRules. */}}
{{- define "bulkhead.pods.resourceRules" -}}
- apiGroups: [""]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE]
  resources: [pods, podtemplates, replicationcontrollers]
  scope: Namespaced
- apiGroups: [apps]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE]
  resources: [daemonsets, deployments, replicasets, statefulsets]
  scope: Namespaced
- apiGroups: [batch]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE]
  resources: [cronjobs, jobs]
  scope: Namespaced
{{- end -}}

{{/* The pod, or the template of pods, in an object: takes `object` or `oldObject`. */}}
{{- define "bulkhead.pods.template" -}}
(request.resource.resource == "pods" ? {{ . }}
  : request.resource.resource == "podtemplates" ? {{ . }}.template
  : request.resource.resource == "cronjobs" ? {{ . }}.spec.jobTemplate.spec.template
  : {{ . }}.spec.?template.orValue(dyn({})))
{{- end -}}

{{/*
Only what changes a pod's spec is judged: old pods and templates must stay free to lose finalizers and to be scaled
down after a class became stricter, or a teardown would never end.
*/}}
{{- define "bulkhead.pods.specChanged" -}}
request.operation != "UPDATE"
  || {{ include "bulkhead.pods.template" "object" }}.?spec != {{ include "bulkhead.pods.template" "oldObject" }}.?spec
{{- end -}}

{{/*
Whether the operator, or Kubernetes for it, makes one of this workspace's own pods. The labels alone would do, since
another policy keeps them from tenants; asking for the user as well makes this one hold by itself.
*/}}
{{- define "bulkhead.pods.managed" -}}
(({{ include "bulkhead.admission.isOperator" . }} || {{ include "bulkhead.admission.isControlPlane" . }}
    || {{ include "bulkhead.admission.isBreakGlass" . }})
  && variables.template.?metadata.?labels[?"app.kubernetes.io/managed-by"].orValue("") == "bulkhead"
  && variables.template.?metadata.?labels[?"bulkhead.dev/workspace-uid"].orValue("")
    == namespaceObject.metadata.?labels[?"bulkhead.dev/workspace-uid"].orValue("-"))
{{- end -}}

{{/* An annotation of the namespace: how the operator tells the policies about the class. */}}
{{- define "bulkhead.pods.told" -}}
namespaceObject.metadata.?annotations[?"bulkhead.dev/{{ . }}"].orValue("")
{{- end -}}

{{- define "bulkhead.pods.variables" -}}
- name: template
  expression: {{ include "bulkhead.pods.template" "object" | include "bulkhead.pods.line" }}
- name: isPod
  expression: request.resource.resource == "pods"
- name: at
  expression: >-
    variables.isPod ? "spec"
    : request.resource.resource == "podtemplates" ? "template.spec"
    : request.resource.resource == "cronjobs" ? "spec.jobTemplate.spec.template.spec"
    : "spec.template.spec"
- name: spec
  expression: variables.template.?spec.orValue(dyn({}))
- name: security
  expression: variables.spec.?securityContext.orValue(dyn({}))
# Init and ephemeral containers run the same code with the same rights: no rule is for one list only.
- name: containers
  expression: >-
    variables.spec.?containers.orValue([]) + variables.spec.?initContainers.orValue([])
    + variables.spec.?ephemeralContainers.orValue([])
- name: volumes
  expression: variables.spec.?volumes.orValue([])
- name: managed
  expression: {{ include "bulkhead.pods.managed" . | include "bulkhead.pods.line" }}
# Gateway and egress are our own code: on the ordinary runtime, and with no guard to wait for.
- name: door
  expression: >-
    variables.managed
    && variables.template.?metadata.?labels[?"bulkhead.dev/component"].orValue("") in ["gateway", "egress"]
- name: first
  expression: variables.spec.?initContainers[?0].orValue(dyn({}))
- name: level
  expression: namespaceObject.metadata.?labels[?"bulkhead.dev/isolation-level"].orValue("")
- name: runtimeClass
  expression: {{ include "bulkhead.pods.told" "runtime-class" | include "bulkhead.pods.line" }}
- name: images
  expression: {{ printf "%s.split(\" \").filter(image, image != \"\")" (include "bulkhead.pods.told" "allowed-images") | toRawJson }}
# Tolerations are key, operator, value, effect and seconds, joined by bars.
- name: tolerated
  expression: >-
    variables.spec.?tolerations.orValue([]).map(t, t.?key.orValue("") + "|" + t.?operator.orValue("Equal") + "|"
    + t.?value.orValue("") + "|" + t.?effect.orValue("") + "|" + string(t.?tolerationSeconds.orValue("")))
- name: tolerations
  expression: {{ printf "%s.split(\" \").filter(each, each != \"\")" (include "bulkhead.pods.told" "tolerations") | toRawJson }}
- name: nodeSelector
  expression: {{ printf "%s.split(\" \").filter(each, each != \"\")" (include "bulkhead.pods.told" "node-selector") | toRawJson }}
- name: expectedRuntimeClass
  expression: 'variables.level == "Sandboxed" && !variables.door ? variables.runtimeClass : ""'
- name: guardImage
  expression: {{ include "bulkhead.pods.told" "guard-image" | include "bulkhead.pods.line" }}
- name: guardConfig
  expression: {{ include "bulkhead.pods.told" "guard-config" | include "bulkhead.pods.line" }}
{{- end -}}

{{/* A rule about the pod: (dict "field" … "bad" … "says" …). */}}
{{- define "bulkhead.pods.rule" }}
- expression: {{ printf "!(%s)" .bad | toRawJson }}
  messageExpression: {{ printf "variables.at + %s%s" (printf ".%s: %s" .field .says | toRawJson) (.more | default "") | toRawJson }}
  reason: {{ .reason | default "Forbidden" }}
{{- end -}}

{{/* A rule about each container `c`: the message names the offenders. */}}
{{- define "bulkhead.pods.container" }}
- expression: {{ printf "!variables.containers.exists(c, %s)" .bad | toRawJson }}
  messageExpression: {{ printf "variables.at + %s + variables.containers.filter(c, %s).map(c, c.name).join(\", \") + \")\"" (printf ".containers[].%s: %s (container " .field .says | toRawJson) .bad | toRawJson }}
  reason: {{ .reason | default "Forbidden" }}
{{- end -}}

{{/* A rule about each volume `v`. */}}
{{- define "bulkhead.pods.volume" }}
- expression: {{ printf "!variables.volumes.exists(v, %s)" .bad | toRawJson }}
  messageExpression: {{ printf "variables.at + %s + variables.volumes.filter(v, %s).map(v, v.name).join(\", \") + \")\"" (printf ".volumes[]%s: %s (volume " .field .says | toRawJson) .bad | toRawJson }}
  reason: {{ .reason | default "Forbidden" }}
{{- end -}}

{{/*
The guard as the mutating policy writes it: as hard as can be, with the resources of the pod's first container, so that
what the pod asks for does not grow. Its uid is the image's own, whatever the pod says.
*/}}
{{- define "bulkhead.guard.container" -}}
Object.spec.initContainers{
  name: "guard",
  image: variables.guardImage,
  args: ["guard"],
  env: [Object.spec.initContainers.env{name: "BULKHEAD_CONFIG", value: variables.guardConfig}],
  resources: Object.spec.initContainers.resources{
    ?limits: object.spec.containers[0].?resources.?limits,
    ?requests: object.spec.containers[0].?resources.?requests
  },
  securityContext: Object.spec.initContainers.securityContext{
    allowPrivilegeEscalation: false,
    capabilities: Object.spec.initContainers.securityContext.capabilities{drop: ["ALL"]},
    privileged: false,
    readOnlyRootFilesystem: true,
    runAsNonRoot: true,
    runAsUser: 65532,
    runAsGroup: 65532,
    seccompProfile: Object.spec.initContainers.securityContext.seccompProfile{type: "RuntimeDefault"}
  }
}
{{- end -}}

{{/*
The guard as every pod must have it, whoever put it there. An image is the one field of a container that may change
afterwards; a guard that was right when the pod was made may also stay as it is.
*/}}
{{- define "bulkhead.guard.variables" -}}
- name: guardNeeded
  expression: >-
    variables.isPod && !variables.door && (oldObject == null
      || oldObject.spec.?initContainers[?0].orValue(dyn({})) != variables.first)
{{- end -}}
{{- define "bulkhead.guard.validations" -}}
- expression: '!variables.guardNeeded || (variables.guardImage != "" && variables.guardConfig != "")'
  message: >-
    spec.initContainers: the namespace does not carry the guard's image and config yet, so no pod may be made;
    wait for the workspace's gateway
  reason: Forbidden
- expression: '!variables.guardNeeded || variables.first.?name.orValue("") == "guard"'
  message: "spec.initContainers[0]: must be the guard"
  reason: Forbidden
- expression: '!variables.guardNeeded || variables.first.?image.orValue("") == variables.guardImage'
  messageExpression: '"spec.initContainers[0].image: must be " + variables.guardImage'
  reason: Forbidden
- expression: '!variables.guardNeeded || variables.first.?args.orValue([]) == ["guard"]'
  message: 'spec.initContainers[0].args: must be ["guard"]'
  reason: Forbidden
- expression: >-
    !variables.guardNeeded || variables.first.?env.orValue([])
      == [{"name": "BULKHEAD_CONFIG", "value": variables.guardConfig}]
  message: "spec.initContainers[0].env: must be BULKHEAD_CONFIG as the namespace has it, and nothing else"
  reason: Forbidden
# By a list of what may be there, not of what may not: a command, a restartPolicy or a mount would void it, and so
# may a field that Kubernetes has yet to invent.
- expression: >-
    !variables.guardNeeded || variables.first.all(key, key in ["name", "image", "imagePullPolicy", "args", "env",
      "resources", "securityContext", "terminationMessagePath", "terminationMessagePolicy"])
  messageExpression: >-
    "spec.initContainers[0]: the guard must not have " + variables.first.map(key, key).filter(key, !(key in ["name",
      "image", "imagePullPolicy", "args", "env", "resources", "securityContext", "terminationMessagePath",
      "terminationMessagePolicy"])).join(", ")
  reason: Forbidden
{{- end -}}
